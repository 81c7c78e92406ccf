"""A small engine for pipelines: a document builds to a graph, which runs forward or in reverse.

It knows nothing about backups. Read `stage`, `spec` and `graph`, then `facts`, `run` and `wiring`.
"""
