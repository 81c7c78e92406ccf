"""Exchange of a restored tree with the one in use, in a way that can be undone."""
