"""Content of the stores: catalogs, their cache, retention and verification."""
