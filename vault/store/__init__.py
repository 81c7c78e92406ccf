"""Where archives are stored: one interface over every kind of storage."""
