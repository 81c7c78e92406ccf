"""Notifications: messages about runs, and the process that sends them."""
