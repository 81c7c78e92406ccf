"""Benchmarks of Packrat against restic, borg and a plain tar pipeline: `make bench`."""
