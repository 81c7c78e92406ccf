"""Telling people: which message a run is worth, and the process that sends it."""
