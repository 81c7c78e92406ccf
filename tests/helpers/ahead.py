"""Daemon with a clock that is ahead: `python -m tests.helpers.ahead SECONDS -c FILE daemon`."""

import sys
import time

from packrat.daemon.log import Log
from packrat.daemon.loop import run_daemon

if __name__ == "__main__":
    seconds = float(sys.argv[1])
    sys.exit(run_daemon(sys.argv[3], Log(), lambda: time.time() + seconds))
