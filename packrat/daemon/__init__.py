"""Daemon: its loop, which starts jobs when they are due, and the parts that serve it."""
