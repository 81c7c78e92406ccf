"""The archive format: reading, sealing, keys and the index."""
