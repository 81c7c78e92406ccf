"""Stored data and its protection: keys, the archive format, chunks, stores and catalogs.

`docs/format.md` is authoritative for the format. Read `archive` first, then `store` and `catalog`.
"""
