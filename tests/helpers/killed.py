"""A backup that sends its own process a signal at its n-th event. Run by test_law_kill."""

import os
import signal
import sys
from itertools import count

from packrat.backup import back_up
from specs.compile import compile_service
from specs.load import load_config

config, service, number, name = sys.argv[1:]
events = count(1)


def listener(event):
    if next(events) == int(number):
        os.kill(os.getpid(), getattr(signal, name))


result = back_up(compile_service(load_config(config), service), [listener])
sys.exit(result.exit)
