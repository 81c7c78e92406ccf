"""Result of a backup of one service, summed up from its run."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from engine.run import Cancelled
from packrat.errors import Exit, explain, worst
from packrat.text.report import bytes_text, count_text
from specs.faults import printable
from stages.facts import CaughtUp, Downtime, Pruned, Published, SourceReport
from stages.upload import Upload
from vault.archive.format import Manifest
from vault.spool import Spool

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from engine.graph import Graph
    from packrat.runs.execute import Executed
    from vault.store.base import Stored

Status = Literal["done", "partial", "failed"]


@dataclass
class Result:
    """Result of one backup; all fields except `exit` are the keys of `--json`."""

    service: str
    id: str | None = None
    status: Status = "failed"
    kind: str | None = None
    files: int = 0
    size: int = 0
    stored: int = 0
    read: int = 0
    seconds: float = 0.0
    downtime_seconds: float | None = None
    warnings: list[str] = field(default_factory=list)
    error: str | None = None
    destinations: dict[str, dict[str, Any]] = field(default_factory=dict)
    alarms: list[str] = field(default_factory=list)
    """Sentences about destinations that lack backups which packrat did not delete."""
    exit: Exit = Exit.FAILED

    @property
    def holders(self) -> list[str]:
        """The destinations that have the new backup."""
        return [name for name, at in self.destinations.items() if at["status"] != "failed"]

    @property
    def document(self) -> dict[str, Any]:
        """The documented keys of `--json`, which the history records."""
        document = asdict(self)
        del document["exit"]
        return document

    @property
    def summary(self) -> str:
        """Summary in one or two lines."""
        alarms = "".join(f"\n{printable(text)}" for text in self.alarms)
        if self.error and self.status == "failed":
            return f"{self.service}: failed: {printable(self.error)}{alarms}"
        where = ", ".join(self.holders)
        line = (
            f"{self.service}: {self.id} {self.kind}, {count_text(self.files, 'file')},"
            f" {bytes_text(self.size)}; read {bytes_text(self.read)},"
            f" stored {bytes_text(self.stored)} at {where} in {self.seconds:.1f} s"
        )
        if self.downtime_seconds is not None:
            line += f", down for {self.downtime_seconds:.1f} s"
        line += upkeep_text(self.document)
        partial = f"\n{self.service}: partial: {printable(self.error)}" if self.error else ""
        return f"{line}{partial}{alarms}"

    def raise_alarms(self, texts: Iterable[str]) -> None:
        """Take up alarms about destinations: the backup is done, and yet not all is well."""
        self.alarms += texts
        if self.alarms and self.exit == Exit.DONE:
            self.exit = Exit.PARTIAL

    def end(self, status: Exit) -> None:
        """Record how the run ended."""
        ends: dict[Exit, Status] = {Exit.DONE: "done", Exit.PARTIAL: "partial"}
        self.status, self.exit = ends.get(status, "failed"), status

    def fail(self, error: BaseException) -> None:
        """Record the error that ended the run."""
        status, self.error = explain(error)
        self.end(status)


def sum_up(graph: Graph, done: Executed, result: Result) -> None:
    """Fill in a result from the run of its graph: each destination by itself, and the whole."""
    outcome = done.outcome
    if manifest := outcome.fact(Manifest):
        result.id, result.kind = manifest.id[:8], manifest.kind
        result.files, result.size, result.read = manifest.files, manifest.size, manifest.read
    spool = outcome.fact(Spool)
    if spool:
        result.stored = spool.size
    downtime, source = outcome.fact(Downtime), outcome.fact(SourceReport)
    result.downtime_seconds = downtime.seconds if downtime else None
    missed = manifest.missed if manifest else source.missed if source else 0
    copied = {at.destination: at.archives for at in outcome.facts_of(CaughtUp)}
    deleted = {at.destination: at.archives for at in outcome.facts_of(Pruned)}
    holders = {published.destination for published in outcome.facts_of(Published)}
    branches = _branches(graph)
    for destination, names in branches.items():
        errors = [explain(outcome.failed[n])[1] for n in names if n in outcome.failed]
        holds = destination in holders
        result.destinations[destination] = {
            "status": "failed" if not holds else "partial" if errors else "done",
            "bytes": result.stored if holds else 0,
            "error": "; ".join(errors) or None,
            "caught_up": _sum(copied.get(destination, ())),
            "pruned": _sum(deleted.get(destination, ())),
        }
    in_branches = {name for stages in branches.values() for name in stages}
    trunk = [error for name, error in outcome.failed.items() if name not in in_branches]
    cancelled = [e for e in outcome.failed.values() if isinstance(e, Cancelled)]
    problems = [explain(error) for error in outcome.failed.values()]
    if cancelled or trunk:
        result.fail(done.problem or [*cancelled, *trunk][0])
        if result.holders:
            result.error = f"{result.error}. The backup {result.id} is stored all the same"
    elif not result.holders:
        result.exit = worst(status for status, _ in problems)
        result.error = "; ".join(text for _, text in problems)
    elif problems or missed:
        result.end(Exit.PARTIAL)
        texts = [text for _, text in problems]
        if missed:
            texts.append(f"{count_text(missed, 'file')} could not be read")
        result.error = "; ".join(texts)
    else:
        result.end(Exit.DONE)
    if spool and spool.kept:
        result.error = (
            f"{result.error}. The backup {result.id} waits in the spool;"
            " the next run takes it to the destinations without reading the source again"
        )


def upkeep_text(document: dict[str, Any]) -> str:
    """Return what a backup copied and deleted besides, to continue a sentence."""
    text = ""
    for name, at in (document.get("destinations") or {}).items():
        for key, done in (("caught_up", f"caught up at {name}"), ("pruned", f"pruned at {name}")):
            if found := at.get(key, {}).get("archives"):
                text += f"; {count_text(found, 'archive')} ({bytes_text(at[key]['bytes'])}) {done}"
    return text


def _sum(archives: Sequence[Stored]) -> dict[str, int]:
    return {"archives": len(archives), "bytes": sum(one.size for one in archives)}


def _branches(graph: Graph) -> dict[str, list[str]]:
    """Return destination -> the stages of its branch."""
    return {
        node.stage.destination: [one.name for one in chain]
        for chain in graph.chains()
        for node in chain
        if isinstance(node.stage, Upload)
    }
