"""Commands: what is behind each word of the command line, but for a run and a restore."""
