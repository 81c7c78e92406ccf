"""Destinations of the configuration: one type a file, with the store that it opens."""
