"""Configuration that the user writes, and the pipeline documents that it compiles to.

Every fault is reported with line and column.
"""
