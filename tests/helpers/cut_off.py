"""The real program, with a restore that sends a signal to itself after a number of bytes.

`python -m tests.helpers.cut_off BYTES SIGNAL WORDS…` counts the bytes that the writer has written.
A signal from outside could come after the restore has ended.
"""

import os
import sys

from packrat.__main__ import main
from stages.restore_target.writer import Writer


def cut_off(after: int, number: int) -> None:
    """Make the writer send a signal to its process after a number of bytes."""
    write = Writer.write
    left = after

    def counting(writer, piece):
        nonlocal left
        done = write(writer, piece)
        before, left = left, left - len(piece.data)
        if left <= 0 < before:
            os.kill(os.getpid(), number)
        return done

    Writer.write = counting


if __name__ == "__main__":
    cut_off(*map(int, sys.argv[1:3]))
    sys.argv[1:3] = []
    main()
