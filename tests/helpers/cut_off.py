"""The real program, with a process of a restore that ends itself after so many bytes.

`python -m tests.helpers.cut_off METHOD BYTES SIGNAL WORDS…`: the process which calls that method of
the writer: `complete` is the program's own, `write` is called by its copies. From outside, it might
all be over before anybody has counted the bytes.
"""

import os
import sys

from packrat.__main__ import main
from stages.restore_target.writer import Writer, Written


def cut_off(method: str, after: int, number: int) -> None:
    """Let the writer's method send its process a signal after so many bytes."""
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
