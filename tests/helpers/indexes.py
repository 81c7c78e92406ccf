"""Entries of an index, read as a restore reads them."""

from vault.archive.index import read_entries, read_layout


def entries_of(lists, fetch, archive="x"):
    """Return all entries of an index, by the references of its block lists."""
    return list(read_entries(read_layout(lists, fetch, archive), fetch, archive))


def fetch_from(archive):
    """Return a function that reads index segments of a single archive."""
    return lambda _, number: archive.frame(number, b"i")
