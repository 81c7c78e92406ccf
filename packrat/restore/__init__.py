"""Restores: choosing and opening a backup, writing it, and undoing that."""
