"""Output: what people and programs read of all this."""
