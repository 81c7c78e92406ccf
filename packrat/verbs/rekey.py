"""`packrat rekey`: recreation of the key file from the password and any backup.

It is the first command on a bare machine, and anyone who can write to a destination can forge what
it reads. A forged header costs a key derivation, so plausible and cheap headers come first, and one
that is costlier than packrat ever wrote is only tried if the user agrees.
"""

from __future__ import annotations

import sys
import time
from itertools import islice, zip_longest
from typing import TYPE_CHECKING

from msgspec import Struct

from packrat.text.password import ask_password
from packrat.text.report import count_text, warn
from vault.archive.format import ArchiveName, stamp

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packrat.program import Program
    from vault.archive.keys import Derivation, Keys
    from vault.store.base import Store, Stored

LEAST_BYTES = 256
"""A smaller file cannot be an archive: header, manifest, table and trailer are larger."""
FUTURE_SECONDS = 86400
"""An archive that is further in the future was written by a wrong clock or forged."""
BATCHES = (1, 10, None)
"""Archives of each service at each destination whose headers are read before keys are tried."""
MOST_WARNINGS = 3
"""Warnings about damaged headers for each service at each destination."""


class Candidate(Struct, frozen=True):
    """A key that may belong to the password."""

    derivation: Derivation
    key_id: bytes
    where: str


class _Place(Struct, frozen=True):
    """One archive of one destination."""

    destination: Store
    service: str
    name: str

    @property
    def where(self) -> str:
        return f"{self.destination.name}:{self.service}/{self.name}"


def make_again(program: Program, password_file: str | None) -> None:
    """Create the key file from the password of a real backup.

    Raises:
        VaultError: There is neither a key file nor a backup.
        WrongKey: The password belongs to none of the keys that were found.
    """
    from vault.errors import VaultError, WrongKey

    batches = (batch for batch in _batches(program) if batch)
    batch = next(batches, None)
    if batch is None:
        raise VaultError(
            "no key file and no backup to take the salt from",
            "if there never was a backup: packrat init",
        )
    password = ask_password(password_file, new=False)
    costly: list[Candidate] = []
    tried: list[str] = []
    while batch is not None:
        costly += [one for one in batch if one.derivation.is_costly]
        cheap = [one for one in batch if not one.derivation.is_costly]
        tried += [one.where for one in cheap]
        if keys := _matching(cheap, password):
            _write(program, keys)
            return
        batch = next(batches, None)
    if costly and _accepts_cost(costly):
        tried += [one.where for one in costly]
        if keys := _matching(costly, password):
            _write(program, keys)
            return
    others = f" and {len(tried) - 3} others" if len(tried) > 3 else ""  # noqa: PLR2004 (a sentence)
    places = ", ".join(tried[:3]) + others or "any key that was tried"
    raise WrongKey(f"this is not the password of {places}", "nothing was written")


def _write(program: Program, keys: Keys) -> None:
    from vault.archive.keys import write_key_file

    proof = _prove(program, keys)
    path = program.config.encryption.key_file
    write_key_file(path, keys, replace=True)
    how = f"proven on {proof}" if proof else "no backup could be opened to prove it"
    print(f"Key {keys.key_id.hex()} is in {path} again; {how}.")


def _matching(candidates: list[Candidate], password: str) -> Keys | None:
    """Derive the candidates' keys until one matches its key id; return it, or None."""
    for number, one in enumerate(candidates, 1):
        if len(candidates) > 1:
            cost = f"{one.derivation.memory >> 10} MiB, {one.derivation.passes} passes"
            print(f"Key {number} of {len(candidates)}: {one.where} ({cost}) …", file=sys.stderr)
        try:
            keys = one.derivation.keys(password)
        except MemoryError as error:
            warn(f"{one.where}: {error}")
            continue
        if keys.key_id == one.key_id:
            return keys
    return None


def _accepts_cost(costly: list[Candidate]) -> bool:
    """Ask whether to try keys that are costlier than packrat's own."""
    dearest = max(one.derivation.memory for one in costly)
    warn(
        f"{count_text(len(costly), 'header')} with a costlier key derivation than packrat writes,"
        f" up to {dearest >> 10} MiB of memory, for example {costly[0].where}; it may be forged, to"
        " keep this machine busy"
    )
    if not sys.stdin.isatty():
        warn("not tried; run packrat rekey on a terminal to try it anyway")
        return False
    print("Try it anyway? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _batches(program: Program) -> Iterator[list[Candidate]]:
    """Yield batches of new candidates: from the key file, then from more and more headers.

    In each batch, a key at more destinations comes first, then the cheaper one. A forged
    header may have the id of the true key, so the parameters are part of the comparison.
    """
    from vault.archive.keys import read_key_file
    from vault.errors import VaultError

    seen: set[tuple[bytes, Derivation]] = set()
    try:
        keys = read_key_file(program.config.encryption.key_file)
    except VaultError:
        pass
    else:
        seen.add((keys.key_id, keys.derivation))
        yield [Candidate(keys.derivation, keys.key_id, "the key file")]
    rows = [(place, iter(stored)) for place, stored in _archives(program)]
    warned: dict[tuple[str, str], int] = {}
    for size in BATCHES:
        found: dict[tuple[bytes, Derivation], list[_Place]] = {}
        columns = zip_longest(*(islice(stored, size) for _, stored in rows))
        for place in (one for column in columns for one in column if one is not None):
            if (key := _header_key(place, warned)) and key not in seen:
                found.setdefault(key, []).append(place)
        seen |= set(found)
        yield sorted(
            (Candidate(key[1], key[0], places[0].where) for key, places in found.items()),
            key=lambda one: (
                -len({place.destination.name for place in found[one.key_id, one.derivation]}),
                one.derivation.cost,
            ),
        )


def _header_key(
    place: _Place, warned: dict[tuple[str, str], int]
) -> tuple[bytes, Derivation] | None:
    """Return the key id and the parameters in a header; None if it cannot be read."""
    from vault.archive.reader import read_header
    from vault.errors import VaultError

    at = place.destination.name, place.service
    try:
        header = read_header(
            lambda offset, length: place.destination.read(
                place.service, place.name, offset, length
            ),
            place.where,
        )
    except VaultError as error:  # one damaged archive must not hide the others
        warned[at] = warned.get(at, 0) + 1
        if warned[at] <= MOST_WARNINGS:
            warn(str(error))
        return None
    return header.key_id, header.derivation


def _archives(program: Program) -> Iterator[tuple[str, Iterable[_Place]]]:
    """Yield the archives of each service at each destination, plausible and new ones first."""
    for destination in program.destinations().values():
        try:
            listed = [(name, destination.archives(name)) for name in destination.services()]
        except Exception as error:  # noqa: BLE001 (a destination's failure is its own)
            warn(f"{destination.name}: {error}")
            continue
        for service, stored in listed:
            places = [_Place(destination, service, one.name) for one in _by_plausibility(stored)]
            yield service, places


def _by_plausibility(stored: list[Stored]) -> list[Stored]:
    limit = stamp(time.time() + FUTURE_SECONDS)

    def is_odd(one: Stored) -> bool:
        name = ArchiveName.parse(one.name)
        return one.size < LEAST_BYTES or name is None or name.time > limit

    newest_first = stored[::-1]
    return sorted(newest_first, key=is_odd)


def _prove(program: Program, keys: Keys) -> str | None:
    """Open the newest backup under these keys; return its location, None if there is none."""
    from vault.catalog.catalog import open_archive
    from vault.errors import Damaged, VaultError, WrongKey

    for service, places in _archives(program):
        try:
            for place in places:
                try:
                    return open_archive(place.destination, service, place.name, keys).where
                except (WrongKey, Damaged):
                    continue
        except VaultError as error:
            warn(str(error))
    return None
