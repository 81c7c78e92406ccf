"""Verify by hand: prove what is stored, at the depth that was requested, and report it."""

from __future__ import annotations

import time
from functools import partial
from typing import TYPE_CHECKING, Any

from engine.events import Progress
from packrat.catalogs import bases_of, catalogs, scratch_of
from packrat.errors import Exit
from packrat.restore.choose import meant
from packrat.runs.signals import check_asked
from packrat.text.progress import progress
from packrat.text.report import as_json as print_json
from packrat.text.verdicts import print_verdicts, row_of, summary_of
from stages.restore_target.check_index import Plausible
from vault.catalog.prover import Depth
from vault.catalog.verdict import Status, Verdict
from vault.catalog.verify import Verifier, remember
from vault.store.base import Stored

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packrat.program import Program
    from vault.catalog.catalog import Catalog

HOW = {Depth.CHUNKS: "every byte", Depth.SAMPLES: "both ends, the index and samples"}


def verify_stored(
    program: Program,
    service: str | None,
    backup: str | None,
    source: str | None,
    *,
    deep: bool,
    as_json: bool,
) -> int:
    """Verify and report; return the exit status.

    FAILED if anything is damaged or missing, PARTIAL if something could not be read.
    """
    services = program.services([service]) if service else list(program.config.services)
    depth = Depth.CHUNKS if deep else Depth.SAMPLES
    rows: list[dict[str, Any]] = []
    found, status = catalogs(program, services, source, marks=False)
    chosen = meant(found, backup, program.config.host) if backup else {}
    for catalog in found:
        only = chosen.get(catalog.service)
        if only or not backup:
            rows += [row_of(catalog.service, one) for one in _verify(program, catalog, depth, only)]
    if as_json:
        print_json(rows)
    elif rows:
        print_verdicts(rows)
        print(f"{summary_of(rows)} ({HOW[depth]} read)")
    else:
        print("no backups yet: there is nothing to prove")
    return exit_of((row["status"] for row in rows), status)


def exit_of(statuses: Iterable[str], status: Exit = Exit.DONE) -> Exit:
    """Return the exit status that verdicts lead to; `status` if all of them are good."""
    found = set(statuses)
    if found & {Status.DAMAGED, Status.MISSING}:
        return Exit.FAILED
    return Exit.PARTIAL if Status.UNREADABLE in found else status


def _verify(program: Program, catalog: Catalog, depth: Depth, only: str | None) -> list[Verdict]:
    """Verify one service at one destination, or the backup `only` and what it needs."""
    where = catalog.destination.name
    held = {one.stored.name: one for one in catalog.held}
    names = None
    bases = bases_of(program, catalog)
    if only:
        if only not in held:
            short = only.removesuffix(".packrat").rpartition("-")[2]
            return [Verdict(short, Stored(only, 0), where, Status.MISSING)]
        summary = held[only].summary
        names = {only, *(other.name for other in summary.archives)} if summary else {only}
        bases = held.keys() - {only}
    total = sum(one.stored.size for name, one in held.items() if names is None or name in names)
    with progress(
        f"{catalog.service} at {where}", {"verify": "verifying"}, partial(int, total)
    ) as listener:
        done = 0

        def step(length: int) -> None:
            nonlocal done
            check_asked()
            done += length
            listener(Progress("verify", 0, done))

        verifier = Verifier(
            catalog,
            program.keys,
            depth,
            bases=bases,
            inspect=lambda: Plausible().check,
            step=step,
            scratch=scratch_of(program),
        )
        try:
            verdicts = verifier.verify(names)
        finally:
            verifier.close()
    verdicts = [one for one in verdicts if one.status is not Status.PRUNED]
    proven = [one for one in verdicts if not (only and one.base and one.status is Status.GOOD)]
    remember(program.cache, catalog, proven, depth, time.time())
    return verdicts
