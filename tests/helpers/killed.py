"""A backup, or a restore in place, that sends its own process a signal at an event.

At the n-th event, or at the first of its type at a stage.
"""

import os
import signal
import sys
from itertools import count

from packrat.backup import back_up
from packrat.choosing import choose
from packrat.program import Program
from packrat.restore import restore
from specs.compile import compile_service
from specs.load import load_config

config, service, when, name, *in_place = sys.argv[1:]
"""`when`: a number, or such as `Finished stop`."""
events = count(1)


def listener(event):
    if when in (str(next(events)), f"{type(event).__name__} {event.stage}"):
        os.kill(os.getpid(), getattr(signal, name))


if in_place:
    program = Program(config)
    restore(program, service, choose(program, service), (), None, [listener])
    sys.exit()
result = back_up(compile_service(load_config(config), service), [listener])
sys.exit(result.exit)
