"""`packrat rekey`: recreation of the key file from the password and any backup.

It is the first command on a bare machine, and anyone who can write to a destination can forge what
it reads. A forged header costs a key derivation, so plausible and cheap headers come first, and one
that is costlier than packrat ever wrote is only tried if the user agrees.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from functools import partial
from itertools import chain, islice, zip_longest
from typing import TYPE_CHECKING

from msgspec import Struct

from packrat.text.password import ask_password
from packrat.text.report import count_text, warn
from vault.archive.format import ArchiveName, stamp
from vault.archive.header import Header
from vault.archive.key_file import read_key_file, write_key_file
from vault.archive.reader import Archive, read_header
from vault.archive.slots import PasswordSlot
from vault.catalog.catalog import open_archive
from vault.errors import Damaged, VaultError, WrongKey

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from packrat.program import Program
    from vault.archive.keys import Keys
    from vault.store.base import Store, Stored

    Identity = tuple[bytes, PasswordSlot]
    """Value that equal candidates share: a forged header may name a true key with another slot."""

LEAST_BYTES = 256
"""A smaller file cannot be an archive: header, manifest, table and trailer are larger."""
FUTURE_SECONDS = 86400
"""An archive that is further in the future was written by a wrong clock or forged."""
BATCHES = (1, 10, None)
"""Archives of each service at each destination whose headers are read before keys are tried."""
MOST_WARNINGS = 3
"""Warnings about damaged headers for each service at each destination."""


class Candidate(Struct, frozen=True):
    """Key slot that the password may open."""

    header: Header
    slot: PasswordSlot
    where: str

    @property
    def identity(self) -> Identity:
        """Value that it shares with the same slot in other headers."""
        return self.header.commitment, self.slot


class _Place(Struct, frozen=True):
    """One archive of one destination."""

    destination: Store
    service: str
    name: str
    size: int

    @property
    def where(self) -> str:
        return f"{self.destination.name}:{self.service}/{self.name}"


def recreate_key_file(program: Program, password_file: str | None) -> None:
    """Create the key file from the password of a real backup.

    Raises:
        VaultError: There is neither a key file nor a backup.
        WrongKey: The password belongs to none of the keys that were found.
    """
    batches = (batch for batch in _batches(program) if batch)
    first = next(batches, None)
    if first is None:
        raise VaultError(
            "no key file and no backup to take the salt from",
            "if there never was a backup: packrat init",
        )
    password = ask_password(password_file, new=False)
    tried: list[str] = []
    for some in _cheap_first(chain([first], batches)):
        tried += [one.where for one in some]
        if keys := _matching(some, password):
            _write(program, keys)
            return
    others = f" and {len(tried) - 3} others" if len(tried) > 3 else ""  # noqa: PLR2004 (a sentence)
    places = ", ".join(tried[:3]) + others or "any key that was tried"
    raise WrongKey(
        f"this is not the password of {places}",
        "nothing was written; rekey needs the present password, packrat password changes it",
    )


def _cheap_first(batches: Iterable[list[Candidate]]) -> Iterator[list[Candidate]]:
    """Yield the cheap candidates of each batch, and last, if the user agrees, the costly ones."""
    costly: list[Candidate] = []
    for batch in batches:
        costly += [one for one in batch if one.slot.derivation.is_costly]
        yield [one for one in batch if not one.slot.derivation.is_costly]
    if costly and _accepts_cost(costly):
        yield costly


def _write(program: Program, keys: Keys) -> None:
    proof = _prove(program, keys)
    # Only an archive that was opened proves the other slots in its header: they are not secret.
    others = proof.header.slots if proof else ()
    if keys.password_slot not in others:  # an older archive: its password was changed since
        others = tuple(one for one in others if not isinstance(one, PasswordSlot))
    slots = (keys.password_slot, *(one for one in others if one != keys.password_slot))
    path = program.config.encryption.key_file
    write_key_file(path, replace(keys, slots=slots), replace=True)
    how = f"proven on {proof.where}" if proof else "no backup could be opened to prove it"
    print(f"Key {keys.key_id.hex()} is in {path} again; {how}.")


def _matching(candidates: list[Candidate], password: str) -> Keys | None:
    """Return the keys of the first candidate that the password opens, or None."""
    for number, one in enumerate(candidates, 1):
        if len(candidates) > 1:
            derivation = one.slot.derivation
            cost = f"{derivation.memory >> 10} MiB, {derivation.passes} passes"
            print(f"Key {number} of {len(candidates)}: {one.where} ({cost}) …", file=sys.stderr)
        try:
            keys = one.header.keys(one.slot, password)
        except MemoryError as error:
            warn(f"{one.where}: {error}")
            continue
        if keys:
            return keys
    return None


def _accepts_cost(costly: list[Candidate]) -> bool:
    """Ask whether to try keys that are costlier than packrat's own."""
    dearest = max(one.slot.derivation.memory for one in costly)
    warn(
        f"{count_text(len(costly), 'header')} with a costlier key derivation than packrat uses,"
        f" up to {dearest >> 10} MiB of memory, for example {costly[0].where}; it may be"
        " forged to overload this machine"
    )
    if not sys.stdin.isatty():
        warn("skipped; to try it anyway, run packrat rekey on a terminal")
        return False
    print("Try it anyway? [y/N] ", end="", file=sys.stderr, flush=True)
    return sys.stdin.readline().strip().lower() in ("y", "yes")


def _batches(program: Program) -> Iterator[list[Candidate]]:
    """Yield batches of new candidates: from the key file, then from more and more headers.

    In each batch, a slot at more destinations comes first, then the cheaper one.
    """
    seen: set[Identity] = set()
    try:
        keys = read_key_file(program.config.encryption.key_file)
    except VaultError:
        pass
    else:
        header = Header(b"", keys.commitment, keys.slots)
        one = Candidate(header, keys.password_slot, "the key file")
        seen.add(one.identity)
        yield [one]
    rows = [iter(places) for places in _archives(program)]
    warned: dict[tuple[str, str], int] = {}
    for size in BATCHES:
        found: dict[Identity, tuple[Candidate, set[str]]] = {}
        columns = zip_longest(*(islice(row, size) for row in rows))
        for place in (one for column in columns for one in column if one is not None):
            for one in _candidates(place, warned):
                if one.identity not in seen:
                    _, destinations = found.setdefault(one.identity, (one, set()))
                    destinations.add(place.destination.name)
        seen |= set(found)
        ordered = sorted(found.values(), key=lambda at: (-len(at[1]), at[0].slot.derivation.cost))
        yield [one for one, _ in ordered]


def _candidates(place: _Place, warned: dict[tuple[str, str], int]) -> list[Candidate]:
    """Return the password slots of an archive; none if its header cannot be read."""
    at = place.destination.name, place.service
    try:
        read = partial(place.destination.read, place.service, place.name)
        header = read_header(read, place.size, place.where)
    except VaultError as error:  # one damaged archive must not hide the others
        warned[at] = warned.get(at, 0) + 1
        if warned[at] <= MOST_WARNINGS:
            warn(str(error))
        return []
    return [Candidate(header, slot, place.where) for slot in header.password_slots]


def _archives(program: Program) -> Iterator[list[_Place]]:
    """Yield the archives of each service at each destination, plausible and new ones first."""
    for destination in program.destinations().values():
        try:
            listed = [(name, destination.archives(name)) for name in destination.services()]
        except Exception as error:  # noqa: BLE001 (a destination's failure is its own)
            warn(f"{destination.name}: {error}")
            continue
        for service, stored in listed:
            ordered = _by_plausibility(stored)
            yield [_Place(destination, service, one.name, one.size) for one in ordered]


def _by_plausibility(stored: list[Stored]) -> list[Stored]:
    limit = stamp(time.time() + FUTURE_SECONDS)

    def is_odd(one: Stored) -> bool:
        name = ArchiveName.parse(one.name)
        return one.size < LEAST_BYTES or name is None or name.time > limit

    newest_first = stored[::-1]
    return sorted(newest_first, key=is_odd)


def _prove(program: Program, keys: Keys) -> Archive | None:
    """Open the newest backup under these keys and return it, or None if there is none."""
    for places in _archives(program):
        try:
            for place in places:
                try:
                    return open_archive(place.destination, place.service, place.name, keys)
                except (WrongKey, Damaged):
                    continue
        except VaultError as error:
            warn(str(error))
    return None
