"""Engine for pipelines: a document builds to a graph, which runs forward or in reverse.

It knows nothing about backups. Read `stage`, `spec`, `graph` first, then `facts`, `run`, `wiring`.
"""
