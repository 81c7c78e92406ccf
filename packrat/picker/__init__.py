"""Restore picker: the questions of a restore on a terminal. It changes nothing."""
