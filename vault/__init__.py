"""What is stored and how it is protected: keys, the archive format, chunks, destinations, catalog.

The law of the format is `docs/format.md`. Read `format`, then `archive`, then `catalog`.
"""
