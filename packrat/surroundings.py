"""State of the process that Packrat sets before it loads anything else.

It may import little: a Ctrl-C while it loads is answered by Python.
"""

import os
import sys

PYTHON = (sys.executable, "-P")
"""Beginning of the command line of a child: the working folder must not be searched for modules.
Such a child is started in `/`."""
UMASK = 0o077
"""Files that Packrat writes to its state and destinations are for its own user only."""


def prepare() -> None:
    """Set the umask, replace closed standard streams, and make file names UTF-8 in any locale.

    With `python -m packrat`, also stop Python from searching the working folder for modules.
    """
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    if sys.path[0] != own and os.path.basename(sys.argv[0]) == "__main__.py":
        del sys.path[0]
    os.umask(UMASK)
    _open_closed_streams()
    if sys.getfilesystemencoding() != "utf-8" and not sys.flags.utf8_mode:
        # File names are bytes: under a Latin-1 locale Python would store different ones.
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606


def _open_closed_streams() -> None:
    """Open /dev/null for each standard stream that the caller has closed.

    Python sets such a stream to None, and the next opened file would take its number: output could
    go into an archive.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            found = os.open(os.devnull, os.O_RDWR)
            if found != number:
                os.dup2(found, number)
                os.close(found)
            os.set_inheritable(number, True)
        if getattr(sys, name) is None:
            stream = open(number, "r" if number == 0 else "w", closefd=False)  # noqa: SIM115
            setattr(sys, name, stream)
