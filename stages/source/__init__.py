"""Folder that is backed up: walk, comparison, reading, excludes and warnings."""
