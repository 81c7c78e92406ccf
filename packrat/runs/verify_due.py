"""`packrat verify --due`: scheduled verification of a share, those proven longest ago first.

All archives are proven again within 100 / `deep_percent` runs, as long as no more than that share
is new each time. A damaged archive is repaired from a destination that has a good replica; if there
is none, no later backup refers to it.
"""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from msgspec import Struct

from engine.events import Listener, Progress
from engine.run import Clock
from packrat.errors import Exit, Locked
from packrat.program import DocumentProgram, Program
from packrat.runs.catalogs import list_service
from packrat.runs.fates import policies
from packrat.runs.lock import service_lock
from packrat.runs.recorder import Recorder
from packrat.runs.result import Result
from packrat.runs.signals import raise_if_interrupted
from packrat.runs.verify import exit_of
from packrat.text.progress import Detail, progress
from packrat.text.report import bytes_text, print_json, warn
from packrat.text.verdicts import print_verdicts, row_of, with_alarms
from stages.facts import ScratchFolder
from stages.masking import masked
from vault.archive.format import ArchiveName, unstamp
from vault.catalog.lineage import sayings_of
from vault.catalog.prover import Depth
from vault.catalog.replicate import copy_archive
from vault.catalog.retention import bases
from vault.catalog.verdict import Status, remember
from vault.catalog.verify import Verifier
from vault.errors import VaultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from specs.pipeline import Pipeline
    from vault.catalog.alarm import Alarm
    from vault.catalog.catalog import Catalog
    from vault.store.base import Stored

NAME = ".verify"
"""Name of its lock and its rows in the history; no service name begins with a dot."""


class StoredArchive(Struct, frozen=True):
    """An archive at a destination, with the time of its last proof."""

    proven: float
    catalog: Catalog
    stored: Stored


class DueVerification:
    """State of one verification: its rows, and a verifier for each catalog."""

    def __init__(self, pipelines: Sequence[Pipeline], recorder: Recorder) -> None:
        self.services = [pipeline.service for pipeline in pipelines]
        self.program = DocumentProgram(pipelines)
        self.rows: list[dict[str, Any]] = []
        self.alarms: list[Alarm] = []
        self.away: list[str] = []
        """Reasons why destinations did not answer."""
        self.read = 0
        self.listeners: tuple[Listener, ...] = (recorder,)
        self._verifiers: dict[tuple[str, str], Verifier] = {}

    def step(self, size: int) -> None:
        """Count bytes that were read; raises KeyboardInterrupt if a signal requested the end."""
        raise_if_interrupted()
        self.read += size
        for listener in self.listeners:
            listener(Progress("verify", len(self.rows), self.read))

    def verifier(self, catalog: Catalog) -> Verifier:
        """Return the verifier of a catalog, which reads each index once."""
        at = (catalog.service, catalog.destination.name)
        if at not in self._verifiers:
            self._verifiers[at] = Verifier(
                catalog,
                self.program.keys,
                Depth.FRAMES,
                bases=self._bases(catalog),
                step=self.step,
                scratch=ScratchFolder.of(self.program.state_dir).folder,
            )
        return self._verifiers[at]

    def _bases(self, catalog: Catalog) -> set[str]:
        """Return the names of archives that retention keeps only as bases."""
        policy = policies(self.program, catalog.service, [catalog])[catalog.destination.name]
        explained = sayings_of([catalog], policy.host).explained
        explained |= self.program.record.pruned(catalog.service).keys()
        return bases(catalog, policy, explained)

    def close(self) -> None:
        """Close the verifiers."""
        for verifier in self._verifiers.values():
            verifier.close()


def verify_due(
    pipelines: Sequence[Pipeline],
    percent: float,
    *,
    as_json: bool,
    report: Callable[[list[dict[str, Any]]], None] = lambda _: None,
    detail: Detail = Detail.NORMAL,
) -> int:
    """Prove the share that is due and repair damage; return the exit status.

    `pipelines` are the verify documents of the services, and `percent` is the share of all stored
    bytes. `report` is called with the rows, to notify what is damaged.
    """
    state_dir = pipelines[0].state_dir
    recorder = Recorder(state_dir, NAME, Clock(), job="verify")
    result = Result(NAME)
    work = DueVerification(pipelines, recorder)
    begun = time.monotonic()
    with service_lock(state_dir, NAME, time.time()):
        recorder.begin()
        try:
            _prove_due(work, percent, detail)
            work.rows = with_alarms(work.rows, work.alarms)
            _sum_up(result, work)
        except BaseException as error:
            result.fail(error)
            raise
        finally:
            work.close()
            result.seconds = round(time.monotonic() - begun, 3)
            result.read = sum(row["bytes_read"] for row in work.rows)
            recorder.end(result)
    if as_json:
        print_json(work.rows)
    else:
        print_verdicts(work.rows, detail, f", {bytes_text(result.read)} read")
    report(work.rows)
    return result.exit


def _sum_up(result: Result, work: DueVerification) -> None:
    bad = [row for row in work.rows if row["status"] != Status.GOOD]
    least = Exit.PARTIAL if bad or work.away else Exit.DONE
    result.end(exit_of((row["status"] for row in bad), least))
    if problems := [*work.away, *(problem for row in bad for problem in row["problems"])]:
        result.error = masked("; ".join(problems))


def _prove_due(work: DueVerification, percent: float, detail: Detail) -> None:
    """Prove archives, those proven longest ago first, until the share is proven."""
    candidates = sorted(
        _candidates(work), key=lambda one: (one.proven, one.stored.name, one.catalog.service)
    )
    share = percent / 100 * sum(one.stored.size for one in candidates)
    proven = 0
    titles = {"verify": "verifying"}
    with progress("verify", titles, partial(int, share), detail) as listener:
        work.listeners = (listener, *work.listeners)
        for one in candidates:
            if proven >= share:
                break
            before = work.read
            row = _examine(work, one, candidates)
            if row is None:
                continue
            work.rows.append(row | {"bytes_read": work.read - before})
            if row["status"] != Status.UNREADABLE:
                proven += one.stored.size


def _candidates(work: DueVerification) -> Iterator[StoredArchive]:
    """Yield every archive at every destination that answers."""
    program = work.program
    for service in work.services:
        found, away, alarms = list_service(program, service, marks=False)
        for error in away.values():
            warn(str(error))
            work.away.append(str(error))
        work.alarms += alarms
        for catalog in found.values():
            proofs = program.cache.proofs(catalog.destination, service)
            for item in catalog.listed:
                if not item.locked:
                    name = ArchiveName.parse(item.stored.name)
                    made = unstamp(name.time) if name else 0  # it was read back at that time
                    proven = proofs.get(item.stored.name, made)
                    yield StoredArchive(proven, catalog, item.stored)


def _examine(
    work: DueVerification, one: StoredArchive, candidates: list[StoredArchive]
) -> dict[str, Any] | None:
    """Prove and repair one archive; return its row, None if it was pruned or is out of reach."""
    program, catalog, now = work.program, one.catalog, time.time()
    verifier = work.verifier(catalog)
    if verifier.gave_up:
        return None  # it stopped answering, which an earlier row reports
    verdicts = verifier.verify({one.stored.name})
    if verdicts[0].status is Status.PRUNED:
        return None
    remember(program.cache, catalog, verdicts, Depth.FRAMES, now)
    row = row_of(catalog.service, verdicts[0])
    if verdicts[0].status is Status.DAMAGED:
        status, how = _repair(program, one, candidates)
        row |= {"status": status, "problems": [*row["problems"], masked(how)]}
    return row


def _repair(
    program: Program, one: StoredArchive, candidates: list[StoredArchive]
) -> tuple[str, str]:
    """Replace a damaged archive by a good replica; return a status and an explanation."""
    service, destination = one.catalog.service, one.catalog.destination
    others = [
        other.catalog.destination
        for other in candidates
        if (other.catalog.service, other.stored) == (service, one.stored)
        and other.catalog.destination.name != destination.name
    ]
    failed = []

    def check(_: int) -> None:
        raise_if_interrupted()  # what repairs read is not part of the share

    try:
        with service_lock(program.state_dir, service, time.time()):
            for source in others:
                try:
                    copy_archive(source, destination, service, one.stored, program.keys, check)
                except VaultError as error:
                    failed.append(str(error))
                    continue
                program.cache.prove(destination, service, one.stored, time.time())
                return "mended", f"repaired from {source.name}"
    except Locked:
        return "damaged", "a backup is running; it, or the next one, will replace the archive"
    what = "; ".join(failed) or "no other destination has it"
    return "damaged", f"not repaired: {what}. The next backup stores its data again"
