"""Archive format: reading, sealing, keys and the index."""
