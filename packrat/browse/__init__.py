"""Backups as files, for the commands that look inside without restoring."""
