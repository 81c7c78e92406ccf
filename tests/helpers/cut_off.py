"""The real program, with a restore that sends a signal to itself after a number of bytes.

`python -m tests.helpers.cut_off METHOD BYTES SIGNAL WORDS…` counts the bytes of that method of the
writer: `write` or `complete`. A signal from outside could come after the restore has ended.
"""

import os
import sys

from packrat.__main__ import main
from stages.restore_target.writer import Writer, Written


def cut_off(method: str, after: int, number: int) -> None:
    """Make a method of the writer send a signal to its process after a number of bytes."""
    called = getattr(Writer, method)
    left = after

    def counting(writer, given):
        nonlocal left
        result = called(writer, given)
        written = result if isinstance(result, Written) else given
        before, left = left, left - written.bytes
        if left <= 0 < before:
            os.kill(os.getpid(), number)
        return result

    setattr(Writer, method, counting)


if __name__ == "__main__":
    method, after, number = sys.argv[1:4]
    cut_off(method, int(after), int(number))
    sys.argv[1:4] = []
    main()
