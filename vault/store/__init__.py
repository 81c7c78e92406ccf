"""Stores: one interface over every kind of storage."""
