"""Packing: segments, the chunks of files, the index."""
