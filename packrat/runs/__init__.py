"""Runs of services, one at a time for each, from the lock to the row in the history."""
