"""What the user writes, with line and column for every fault.

A configuration, and the pipeline specs that its services compile to.
"""
