"""Where the program begins: `packrat`, and `python -m packrat`."""

import gc
import signal  # as little as can be: a Ctrl-C before `main` has begun is answered by Python

GARBAGE_OBJECTS = 50_000
"""How many new objects there are before Python looks for cycles among them: items make none, and at
the usual 700 a twentieth of the time goes there (measured)."""


def main() -> None:
    """Load the command line and run it; a Ctrl-C while it loads ends it without a word."""
    gc.set_threshold(GARBAGE_OBJECTS)
    answers = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if answers:  # and is not ignored, as in a job that a shell put in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from packrat.cli import main as run

    if answers:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    run()


if __name__ == "__main__":
    main()
