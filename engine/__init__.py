"""A small engine for pipelines: a spec builds to a graph, which runs forward or in reverse.

It knows nothing of backups. Read `stage`, then `graph`, then `run`.
"""
