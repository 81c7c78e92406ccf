"""Containers of this machine, compared with the services of a configuration."""
