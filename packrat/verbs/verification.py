"""Verification on a schedule: what was proven longest ago is read in full, a share each time.

So all that is stored is proven again within 100 / `deep_percent` runs, as long as no more than
that share is new each time. What is found damaged is mended from a destination that has it good;
where there is none, nothing builds on it any more.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from engine.events import Progress
from engine.run import Clock
from packrat.errors import Exit, Locked
from packrat.runs.lock import service_lock
from packrat.runs.recorder import Recorder
from packrat.runs.result import Result
from packrat.runs.signals import check_asked
from packrat.text.progress import progress
from packrat.text.report import as_json as print_json
from packrat.text.report import bytes_text, count_text, warn
from specs.faults import printable
from stages.masking import masked
from vault.archive.format import ArchiveName, unstamp
from vault.catalog.proof import bring, prove
from vault.errors import Damaged, NotThere, VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from packrat.program import Program
    from vault.catalog.catalog import Catalog
    from vault.catalog.verify import Verdict
    from vault.store.base import Stored

NAME = ".verify"
"""Its lock and its rows in the history; no service begins with a dot."""


class Candidate(Struct, frozen=True):
    """An archive at a destination, and when it was proven last."""

    proven: float
    service: str
    catalog: Catalog
    stored: Stored


def verify_due(program: Program, *, as_json: bool) -> int:
    """Prove the share that is due, mend what can be mended, and report; gives the exit status."""
    state_dir = program.config.state_dir
    recorder = Recorder(state_dir, NAME, Clock(), job="verify")
    result = Result(NAME)
    rows: list[dict[str, Any]] = []
    begun = time.monotonic()
    with service_lock(state_dir, NAME, time.time()):
        recorder.begin()
        try:
            rows = _prove_due(program, recorder)
            _sum_up(result, rows)
        except BaseException as error:
            result.fail(error)
            raise
        finally:
            result.seconds = round(time.monotonic() - begun, 3)
            result.read = sum(row["bytes_read"] for row in rows)
            recorder.end(result)
    if as_json:
        print_json(rows)
    else:
        for row in rows:
            problems = "".join(f"\n    {printable(problem)}" for problem in row["problems"])
            print(
                f"{row['service']} {row['id']} at {row['destination']}: {row['status']}{problems}"
            )
        good = sum(row["status"] == "ok" for row in rows)
        print(f"{good} of {count_text(len(rows), 'archive')} good, {bytes_text(result.read)} read")
    return result.exit


def _sum_up(result: Result, rows: list[dict[str, Any]]) -> None:
    bad = [row for row in rows if row["status"] != "ok"]
    result.status, result.exit = "done", Exit.DONE
    if bad:
        mended = all(row["status"] == "mended" for row in bad)
        result.status, result.exit = (
            ("partial", Exit.PARTIAL) if mended else ("failed", Exit.FAILED)
        )
        result.error = "; ".join(problem for row in bad for problem in row["problems"])


def _prove_due(program: Program, recorder: Recorder) -> list[dict[str, Any]]:
    """Read the oldest-proven archives until the share is read; gives a row for each."""
    candidates = sorted(
        _candidates(program), key=lambda one: (one.proven, one.stored.name, one.catalog.service)
    )
    share = program.config.verify.deep_percent / 100 * sum(one.stored.size for one in candidates)
    rows: list[dict[str, Any]] = []
    read = 0
    with progress("verify", {"verify": "verifying"}, partial(int, share)) as listener:

        def step(size: int) -> None:
            nonlocal read
            check_asked()
            read += size
            for told in (listener, recorder):
                told(Progress("verify", len(rows), read))

        for one in candidates:
            if read >= share:
                break
            before = read
            row = _examine(program, one, candidates, step)
            if row:
                rows.append(row | {"bytes_read": read - before})
    return rows


def _candidates(program: Program) -> Iterator[Candidate]:
    """Give every archive there is, at every destination that answers."""
    for service in program.config.services:
        destinations = program.destinations(service)
        found, away = program.cache.catalogs(destinations, service, program.keys, marks=False)
        for error in away.values():
            warn(str(error))
        for catalog in found.values():
            proofs = program.cache.proofs(catalog.destination, service)
            for held in catalog.held:
                if not held.locked:
                    name = ArchiveName.parse(held.stored.name)
                    made = unstamp(name.time) if name else 0  # it was read back then
                    yield Candidate(
                        proofs.get(held.stored.name, made), service, catalog, held.stored
                    )


def _examine(
    program: Program, one: Candidate, candidates: list[Candidate], step: Callable[[int], None]
) -> dict[str, Any] | None:
    """Prove one archive, and mend it; gives its row, None when it has just been pruned."""
    destination, now = one.catalog.destination, time.time()
    name = ArchiveName.parse(one.stored.name)
    row = {
        "service": one.service,
        "id": name.short if name else one.stored.name,
        "destination": destination.name,
        "status": "ok",
        "problems": [],
    }
    try:
        prove(destination, one.service, one.stored, program.keys, step)
    except NotThere:
        return None
    except Damaged as error:
        program.cache.prove(destination, one.service, one.stored, now, str(error))
        status, how = _mend(program, one, candidates)
        return row | {"status": status, "problems": [masked(str(error)), masked(how)]}
    except VaultError as error:  # away: nothing is known, and nothing remembered
        warn(str(error))
        return None
    program.cache.prove(destination, one.service, one.stored, now)
    return row


def _mend(program: Program, one: Candidate, candidates: list[Candidate]) -> tuple[str, str]:
    """Replace a damaged archive by the same bytes from elsewhere; gives how that went."""
    destination = one.catalog.destination
    others = [
        other.catalog.destination
        for other in candidates
        if (other.service, other.stored) == (one.service, one.stored)
        and other.catalog.destination is not destination
        and other.catalog.destination.name != destination.name
    ]
    failed = []
    try:
        with service_lock(program.config.state_dir, one.service, time.time()):
            for source in others:
                try:
                    bring(source, destination, one.service, one.stored, program.keys, _go_on)
                except VaultError as error:
                    failed.append(str(error))
                    continue
                program.cache.prove(destination, one.service, one.stored, time.time())
                return "mended", f"mended from {source.name}"
    except Locked:
        return "damaged", "a backup runs now; it, or the next one, brings it anew from elsewhere"
    what = "; ".join(failed) or "no other destination has it"
    return "damaged", f"not mended: {what}. The next backup stores anew what it needs of it"


def _go_on(_: int) -> None:
    """Take nothing from the share that is to be read: this is for mending."""
    check_asked()


def note_verdicts(program: Program, catalog: Catalog, verdicts: list[Verdict]) -> None:
    """Remember what `packrat verify --deep` has read in full; what it found bad is proven again.

    A line that broke looks like damage there, and must not be remembered as such.
    """
    stored = {held.stored.name: held.stored for held in catalog.held}
    for verdict in verdicts:
        one = stored[verdict.name]
        destination, service = catalog.destination, catalog.service
        try:
            if verdict.status != "ok":
                prove(destination, service, one, program.keys, _go_on)
        except Damaged as error:
            program.cache.prove(destination, service, one, time.time(), str(error))
        except VaultError:
            pass
        else:
            program.cache.prove(destination, service, one, time.time())
