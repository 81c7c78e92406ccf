"""Program: command line, daemon, restore picker and reports. No other package prints or prompts."""

__version__ = "0.1.0"
