"""What the stores hold: catalogs, their cache, retention and verification."""
