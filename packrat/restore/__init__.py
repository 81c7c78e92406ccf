"""Restoring: which backup, opened with which key, written where; and how to go back."""
