"""`packrat password`: another password for the same key."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from packrat.text.password import ask_password, rehearse
from packrat.text.report import say
from vault.archive.derivation import SALT_BYTES, Derivation
from vault.archive.key_file import write_key_file

if TYPE_CHECKING:
    from packrat.program import Program


def change_password(program: Program, password_file: str | None) -> None:
    """Wrap the master key with a new password in the key file, and so in the next archives.

    The old password is not needed: who can read the key file has the key.
    """
    old = program.keys
    password = ask_password(password_file, new=True, prompt="New password: ")
    keys = old.with_password(password, Derivation(os.urandom(SALT_BYTES)))
    if password_file is None:
        rehearse(keys, "password")
    write_key_file(program.key_file, keys, replace=True)
    say(
        f"Key {keys.key_id.hex()} in {program.key_file} has another password. Now:\n"
        "  1. packrat backup --all  brings it to the destinations. Until then, a new machine needs"
        " the old password.\n"
        "  2. packrat sheet         prints the recovery sheet again: its salt has changed.\n"
        "Archives that exist already still open with the old password, for anyone who has it."
    )
