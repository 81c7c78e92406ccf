"""`packrat init`: creation of the key file from a new password."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from packrat.text.password import ATTEMPTS, ask_password
from packrat.text.recovery_sheet import recovery_sheet

if TYPE_CHECKING:
    from packrat.program import Program
    from vault.archive.keys import Keys


def initialize(program: Program, password_file: str | None) -> None:
    """Create the key file from a new password; an existing one is never overwritten."""
    from vault.archive.derivation import SALT_BYTES, Derivation
    from vault.archive.key_file import write_key_file
    from vault.archive.keys import Keys
    from vault.errors import KeyFileError

    path = program.config.encryption.key_file
    if os.path.lexists(path):
        raise KeyFileError(
            f"key file {path} exists and is never overwritten",
            "to recreate it from the password: packrat rekey",
        )
    password = ask_password(password_file, new=True)
    keys = Keys.create(password, Derivation(os.urandom(SALT_BYTES)))
    if password_file is None:
        _rehearse(keys)
    write_key_file(path, keys)
    print(f"Key {keys.key_id.hex()} is in {path}.\n\n{recovery_sheet(program.config, keys)}")


def _rehearse(keys: Keys) -> None:
    """Require the user to type the password from paper, before anything depends on it."""
    from getpass import getpass

    from vault.errors import WrongKey

    print(
        "Write the password down now, in a place that survives this machine. Then enter it again.",
        file=sys.stderr,
    )
    for _ in range(ATTEMPTS):
        password = getpass("From what you wrote down: ")
        if keys.password_slot.derivation.derive(password) == keys.derived:
            return
        print("That is a different password.", file=sys.stderr)
    raise WrongKey(
        "the password was not confirmed; nothing was written", "start again with packrat init"
    )
