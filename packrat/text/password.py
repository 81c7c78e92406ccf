"""Password input, from a terminal or a file."""

from __future__ import annotations

import os
import stat
import sys
from getpass import getpass
from typing import TYPE_CHECKING

from packrat.errors import UsageError
from packrat.text.report import say, warn
from vault.errors import WrongKey

if TYPE_CHECKING:
    from vault.archive.keys import Keys

LEAST = 8
"""Minimum length of a new password, in characters."""
ATTEMPTS = 3
LONGEST_LINE = 1 << 16
"""Bytes of a password file that are read, so that a device or an endless pipe ends."""
UTF_8_MARK = b"\xef\xbb\xbf"
UTF_16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def ask_password(password_file: str | None, *, new: bool, prompt: str = "Password: ") -> str:
    """Return the password from the first line of a file, or from the terminal.

    A `new` password must be long enough, and is typed twice on a terminal.

    Raises:
        UsageError: The file has no password, it is too short, or there is no terminal.
    """
    if password_file is not None:
        password = _read(password_file)
        if new and len(password) < LEAST:
            raise UsageError(
                f"password file {password_file}: the password is shorter than {LEAST} characters"
            )
        return password
    if not sys.stdin.isatty():
        raise UsageError("there is no terminal to enter a password; pass --password-file FILE")
    while True:
        password = getpass(prompt)
        if not new:
            return password
        if len(password) < LEAST:
            print(f"Use at least {LEAST} characters.", file=sys.stderr)
        elif getpass("Again: ") != password:
            print("The passwords differ. Enter both again.", file=sys.stderr)
        else:
            return password


def rehearse(keys: Keys, command: str) -> None:
    """Require the user to type the password from paper, before anything depends on it.

    Raises WrongKey after some attempts, naming the `command` to start again.
    """
    say(
        "Write the password down now, in a place that survives this machine. Then enter it again.",
        sys.stderr,
    )
    for _ in range(ATTEMPTS):
        password = getpass("From what you wrote down: ")
        if keys.password_slot.derivation.derive(password) == keys.derived:
            return
        print("That is a different password.", file=sys.stderr)
    raise WrongKey(
        "the password was not confirmed; nothing was written", f"start again with packrat {command}"
    )


def _read(file: str) -> str:
    try:
        with open(file, "rb") as stream:
            status = os.fstat(stream.fileno())
            line = stream.readline(LONGEST_LINE + 1)
    except OSError as error:
        raise UsageError(f"password file {file}: {error.strerror}") from None
    # Windows editors write these marks, which cannot be typed on a bare machine.
    line = line.removeprefix(UTF_8_MARK)
    if line.startswith(UTF_16_MARKS) or b"\0" in line:
        raise UsageError(f"password file {file} is UTF-16 or not text; save it as UTF-8")
    password = line.rstrip(b"\r\n").decode("utf-8", "surrogateescape")
    if not password:
        raise UsageError(f"password file {file}: its first line is empty")
    if len(line) > LONGEST_LINE:
        raise UsageError(f"password file {file}: its first line is longer than 64 KiB")
    if stat.S_ISREG(status.st_mode) and status.st_mode & 0o077:
        mode = stat.S_IMODE(status.st_mode)
        warn(f"password file {file} can be read by other users (mode {mode:04o}); chmod 600 {file}")
    return password
