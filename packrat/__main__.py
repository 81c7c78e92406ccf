"""Entry point of `packrat` and `python -m packrat`.

Until `prepare` has run, a module in the working folder could be imported instead of Python's.
"""

import os
import sys

from packrat.surroundings import prepare

INTERRUPTED = 130


def main() -> None:
    """Load the command line and run it; a Ctrl-C while it loads ends it silently."""
    try:
        prepare()
        import signal

        answers = signal.getsignal(signal.SIGINT) is signal.default_int_handler
        if answers:  # not ignored, as it is in a background job of a shell
            signal.signal(signal.SIGINT, signal.SIG_DFL)
    except KeyboardInterrupt:
        os._exit(INTERRUPTED)

    from packrat import tuning

    tuning.tune()

    from packrat.cli import main as run

    if answers:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    except SystemExit as ended:
        _end(ended.code if isinstance(ended.code, int) else int(ended.code is not None))


def _end(status: int) -> None:
    """End the process without Python's finalization.

    Libraries have threads of their own (event loops, calls that hang) which may still run in C code
    and would crash the interpreter while it is torn down. Everything of ours is closed by now.
    """
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            continue
    os._exit(status)


if __name__ == "__main__":
    main()
