"""Databases: the dump and the load of each engine side by side."""
