"""The program: command line, daemon, restore picker, reports. Only here is printed or prompted."""

import gc

__version__ = "0.1.0"

# Modules and index entries are many objects that stay: looking for cycles among them is in vain,
# and took an eighth of the time of a short command.
gc.set_threshold(100_000, 50, 50)
