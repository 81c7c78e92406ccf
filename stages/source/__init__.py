"""The folder that is backed up: walked, compared, read; what is excluded, what is alarming."""
