"""Entry point of `packrat` and `python -m packrat`."""

import signal  # nothing else: until `main` runs, Python itself handles Ctrl-C

from packrat.surroundings import prepare


def main() -> None:
    """Load the command line and run it; a Ctrl-C while it loads ends it silently."""
    prepare()
    answers = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if answers:  # not ignored, as it is in a background job of a shell
        signal.signal(signal.SIGINT, signal.SIG_DFL)

    from packrat import tuning

    tuning.tune()

    from packrat.cli import main as run

    if answers:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        run()
    finally:
        tuning.freeze()


if __name__ == "__main__":
    main()
