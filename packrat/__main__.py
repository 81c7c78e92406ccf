"""Where the program begins: `packrat`, and `python -m packrat`."""

import gc
import signal  # as little as can be: a Ctrl-C before `main` has begun is answered by Python

GARBAGE_OBJECTS = 200_000
"""How many new objects there are before Python looks for cycles among them. Items make none, and
what is imported, up to 170,000 objects, stays: at the usual 700 an eighth of a short command's time
goes there (measured)."""


def main() -> None:
    """Load the command line and run it; a Ctrl-C while it loads ends it without a word."""
    gc.set_threshold(GARBAGE_OBJECTS, 50, 50)
    answers = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if answers:  # and is not ignored, as in a job that a shell put in the background
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from packrat.cli import main as run

    if answers:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    finally:
        gc.freeze()  # nor at the end, which would be a fifth of it


if __name__ == "__main__":
    main()
