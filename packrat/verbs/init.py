"""`packrat init`: creation of the key file from a new password."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from typer import confirm

from packrat.errors import UsageError
from packrat.text.password import LEAST, ask_password, rehearse
from packrat.text.recovery_sheet import recovery_sheet
from packrat.text.report import say
from packrat.text.shipped import shipped
from specs.faults import ConfigFaults
from specs.load import PLACES
from vault.archive.derivation import SALT_BYTES, Derivation
from vault.archive.key_file import write_key_file
from vault.archive.keys import Keys
from vault.errors import KeyFileError

if TYPE_CHECKING:
    from packrat.program import Program


def initialize(program: Program, password_file: str | None, *, starter: bool) -> None:
    """Create the key file from a new password, or first a `starter` configuration.

    Neither file is ever overwritten.
    """
    if _writes_starter(program, starter=starter):
        return
    path = program.config.encryption.key_file
    if os.path.lexists(path):
        raise KeyFileError(
            f"key file {path} exists and is never overwritten",
            "for another password: packrat password",
        )
    if password_file is None and sys.stdin.isatty():
        say(f"Choose a password of at least {LEAST} characters. It is asked for three times.")
    password = ask_password(password_file, new=True)
    keys = Keys.create(password, Derivation(os.urandom(SALT_BYTES)))
    if password_file is None:
        rehearse(keys, "init")
    write_key_file(path, keys)
    print(f"Key {keys.key_id.hex()} is in {path}.\n\n{recovery_sheet(program.config, keys)}")


def _writes_starter(program: Program, *, starter: bool) -> bool:
    """Write a commented configuration if there is none and the user wants one."""
    try:
        file, fault = program.file, None
    except ConfigFaults as none:
        file, fault = os.path.expanduser(PLACES[os.geteuid() == 0]), none
    if os.path.lexists(file):
        if starter:
            raise UsageError(f"configuration {file} exists and is never overwritten")
        return False
    question = f"There is no configuration yet. Write a commented one to {file}?"
    if not starter and not (sys.stdin.isatty() and confirm(question)):
        if fault:
            raise fault
        return False
    os.makedirs(os.path.dirname(os.path.abspath(file)), mode=0o700, exist_ok=True)
    with open(file, "x", encoding="utf-8") as written:
        written.write(shipped("examples/starter.yaml").read_text("utf-8"))
    say(
        f"{file} is written. Now:\n"
        "  1. Change it to what you want to back up, and where to.\n"
        "  2. packrat check  says whether it is right.\n"
        "  3. packrat init   asks for a password, and creates the key."
    )
    return True
