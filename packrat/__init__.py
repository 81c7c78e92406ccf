"""The program: command line, daemon, restore picker, reports. Only here is printed or prompted."""

__version__ = "0.1.0"
