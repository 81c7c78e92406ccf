"""Environment of a service: the Docker engine, and the shell that its commands run in."""
