"""The program: command line, reports and progress. The only part that prints or prompts."""

__version__ = "0.1.0"
