"""Folder that is restored to: layout, writing by handles, and resumption."""
