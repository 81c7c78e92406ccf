"""What a service lives in: the Docker engine, and the shell its commands run in."""
