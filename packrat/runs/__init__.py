"""Runs: one of one service at a time, from its lock to its line in the history."""
