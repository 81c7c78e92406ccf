"""Exchanging a restored tree with the one in use, so that it can be undone."""
