"""Access to a backup under another key, by its own password and for one command only."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

from packrat.restore.choose import Chosen, OtherKey, choose
from packrat.text.report import warn
from vault.archive.reader import read_header
from vault.errors import WrongKey

if TYPE_CHECKING:
    from packrat.program import Program
    from vault.archive.header import Header
    from vault.archive.keys import Keys
    from vault.store.base import Store


class LockedArchive:
    """Header of a sealed archive, on which passwords are tried."""

    def __init__(self, destination: Store, service: str, name: str) -> None:
        """Read its header; raises VaultError."""
        self.where = f"{destination.name}:{service}/{name}"
        size, read = destination.size(service, name), partial(destination.read, service, name)
        self._header: Header = read_header(read, size, self.where)

    def fits(self, keys: Keys) -> bool:
        """Return whether the archive is sealed under these keys."""
        return keys.commitment == self._header.commitment

    def keys(self, password: str) -> Keys | None:
        """Return the keys of a password, None if it is not the right one.

        Raises:
            WrongKey: The header asks for more than packrat writes; it may be forged.
        """
        slots = self._header.password_slots
        if any(slot.derivation.is_costly for slot in slots):
            raise WrongKey(
                f"{self.where} requires a costlier key derivation than packrat uses",
                "if the backup is yours, make its key file with packrat rekey",
            )
        found = (self._header.keys(slot, password) for slot in slots)
        return next((keys for keys in found if keys), None)

    def ask(self, password_file: str | None) -> Keys:
        """Return the keys of a password from a file or the terminal; raises WrongKey."""
        from packrat.text.password import ATTEMPTS, ask_password  # rarely needed

        attempts = 1
        if password_file is None:
            if not sys.stdin.isatty():
                raise WrongKey(
                    f"{self.where} is sealed under another key",
                    "enter its password on a terminal, or pass --password-file FILE",
                )
            print(f"{self.where} is sealed under another key.", file=sys.stderr)
            attempts = ATTEMPTS
        for _ in range(attempts):
            password = ask_password(password_file, new=False, prompt="Its password: ")
            if keys := self.keys(password):
                return keys
            if password_file is None:
                print("Wrong password.", file=sys.stderr)
        raise WrongKey(f"this is not the password of {self.where}", "nothing was changed")


def choose_and_unlock(
    program: Program,
    service: str,
    backup: str,
    source: str | None,
    password_file: str | None,
) -> tuple[Program, Chosen]:
    """Choose a backup, if necessary by its own password; return it with a matching program."""
    try:
        return program, choose(program, service, backup, source, warn)
    except OtherKey as locked:
        keys = LockedArchive(locked.destination, service, locked.name).ask(password_file)
    program = program.under(keys)
    return program, choose(program, service, backup, source, warn)
