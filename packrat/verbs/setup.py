"""Make and mend what packrat needs: the key file, a checked configuration."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from packrat.errors import Exit, UsageError
from packrat.text.recovery_sheet import recovery_sheet
from packrat.text.report import as_json as print_json
from packrat.text.report import count_text, warn
from packrat.verbs.connecting import look_at_containers, try_destinations
from specs.faults import printable

if TYPE_CHECKING:
    from packrat.program import Program
    from vault.archive.keys import Derivation, Keys
    from vault.archive.reader import Archive

PASSWORD_LEAST = 8
ATTEMPTS = 3


def ask_password(password_file: str | None, *, twice: bool, prompt: str = "Password: ") -> str:
    """Get the password: from a file's first line, or from the terminal; raises UsageError."""
    if password_file is not None:
        try:
            with open(password_file, encoding="utf-8", errors="surrogateescape") as file:
                password = file.readline().rstrip("\r\n")
        except OSError as error:
            raise UsageError(f"password file {password_file}: {error.strerror}") from None
        if not password:
            raise UsageError(f"password file {password_file}: its first line is empty")
        return password
    if not sys.stdin.isatty():
        raise UsageError("asking for a password needs a terminal; elsewhere give --password-file")
    from getpass import getpass

    password = getpass(prompt)
    while len(password) < PASSWORD_LEAST and twice:
        print(f"At least {PASSWORD_LEAST} characters, please.", file=sys.stderr)
        password = getpass("Password: ")
    while twice and getpass("Again: ") != password:
        print("They differ. Once more, both:", file=sys.stderr)
        password = getpass("Password: ")
    return password


def initialize(program: Program, password_file: str | None) -> None:
    """Make the key file from a new password; an existing one is never overwritten."""
    from vault.archive.keys import SALT_BYTES, Derivation, write_key_file
    from vault.errors import KeyFileError

    path = program.config.encryption.key_file
    if os.path.lexists(path):
        raise KeyFileError(
            f"key file {path} exists and is never overwritten",
            "to make it again from the password: packrat rekey",
        )
    password = ask_password(password_file, twice=True)
    keys = Derivation(os.urandom(SALT_BYTES)).keys(password)
    if password_file is None:
        _rehearse(keys)
    write_key_file(path, keys)
    print(f"Key {keys.key_id.hex()} is in {path}.\n\n{recovery_sheet(program.config, keys)}")


def _rehearse(keys: Keys) -> None:
    """Have the password typed from what was written down, before anything depends on it."""
    from getpass import getpass

    from vault.errors import WrongKey

    print(
        "Write the password down now, where it outlives this machine. Then prove it.",
        file=sys.stderr,
    )
    for _ in range(ATTEMPTS):
        if keys.derivation.keys(getpass("From what you wrote down: ")).key_id == keys.key_id:
            return
        print("That is another password.", file=sys.stderr)
    raise WrongKey(
        "the password could not be proven; nothing was written", "packrat init begins anew"
    )


def make_again(program: Program, password_file: str | None) -> None:
    """Make the key file again, and prove it on a real backup before anything is written."""
    from vault.archive.keys import write_key_file
    from vault.errors import VaultError, WrongKey

    path = program.config.encryption.key_file
    derivations = _derivations(program)
    if not derivations:
        raise VaultError(
            "no key file and no backup to take the salt from",
            "if there never was a backup: packrat init",
        )
    password = ask_password(password_file, twice=False)
    for derivation, key_id, where in derivations:
        keys = derivation.keys(password)
        if keys.key_id == key_id:
            proven = _prove(program, keys)
            write_key_file(path, keys, replace=True)
            print(f"Key {key_id.hex()} is in {path} again; proven on {proven or where}.")
            return
    raise WrongKey(
        "this is not the password of " + ", ".join(where for _, _, where in derivations),
        "nothing was written",
    )


def _derivations(program: Program) -> list[tuple[Derivation, bytes, str]]:
    """Give (derivation, key id, where it was found), each key once: key file, then backups."""
    from vault.archive.keys import read_key_file
    from vault.archive.reader import read_header
    from vault.errors import Damaged, VaultError

    found: dict[bytes, tuple[Derivation, bytes, str]] = {}
    try:
        keys = read_key_file(program.config.encryption.key_file)
        found[keys.key_id] = (keys.derivation, keys.key_id, "the key file")
    except VaultError:
        pass
    for destination in program.destinations().values():
        try:
            for service in destination.services():
                for stored in reversed(destination.archives(service)):

                    def read(
                        offset: int, length: int, service: str = service, name: str = stored.name
                    ) -> bytes:
                        return destination.read(service, name, offset, length)  # noqa: B023

                    where = f"{destination.name}:{service}/{stored.name}"
                    try:
                        header = read_header(read, where)
                    except Damaged as error:  # one rotten archive must not hide the others
                        warn(str(error))
                        continue
                    found.setdefault(header.key_id, (header.derivation, header.key_id, where))
        except VaultError as error:
            warn(str(error))
    return list(found.values())


def _prove(program: Program, keys: Keys) -> str | None:
    """Open the newest backup that is sealed under these keys; gives where it is."""
    from vault.catalog.catalog import open_archive
    from vault.errors import Damaged, VaultError, WrongKey

    for destination in program.destinations().values():
        try:
            for service in destination.services():
                for stored in reversed(destination.archives(service)):
                    try:
                        archive: Archive = open_archive(destination, service, stored.name, keys)
                    except (WrongKey, Damaged):
                        continue
                    return archive.where
        except VaultError as error:
            warn(str(error))
    return None


def check_all(program: Program, *, connect: bool, accept_empty: bool, as_json: bool) -> int:
    """Validate the configuration, and with `connect` try every destination."""
    from specs.compile import compile_service

    config = program.config
    notes = []
    for name, service in config.services.items():
        compile_service(config, name).graph()
        if not os.path.isdir(service.path):
            notes.append(f"services.{name}.path: {service.path} is not a folder on this machine")
    of_containers, away = look_at_containers(program)
    notes += of_containers
    tried = try_destinations(program, accept_empty=accept_empty) if connect else []
    failed = [*(one for one in tried if one["problem"]), *(away if connect else [])]
    if as_json:
        document = {"valid": True, "notes": notes, "destinations": tried}
        print_json(document | ({"docker": away} if connect else {}))
    else:
        for note in notes:
            print(f"note: {printable(note)}")
        for one in tried:
            how = f"problem: {one['problem']}" if one["problem"] else f"works, free: {one['free']}"
            print(f"{one['destination']}: {printable(how)}")
        for problem in away if connect else []:
            print(f"docker: problem: {printable(problem)}")
        places = ", ".join(config.destinations())
        if bad := sum(one["problem"] is not None for one in tried):
            print(f"{bad} of {count_text(len(tried), 'destination')} failed")
        elif not failed:
            print(f"valid: {count_text(len(config.services), 'service')}, to {places}")
    return Exit.FAILED if failed else Exit.DONE
