"""How a backup went: the result of one service, summed up from its run."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from engine.run import Cancelled
from packrat.errors import Exit, explain, worst
from packrat.text.report import count_text

if TYPE_CHECKING:
    from engine.graph import Graph
    from engine.run import Outcome
    from stages.session import BackupSession

Status = Literal["done", "partial", "failed", "skipped"]


@dataclass
class Result:
    """The fields are the keys of `--json`, but for `exit`."""

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
    exit: Exit = Exit.FAILED

    @property
    def holders(self) -> list[str]:
        """The destinations that have the new backup."""
        return [name for name, at in self.destinations.items() if at["status"] != "failed"]

    def fail(self, error: BaseException) -> None:
        """Note what ended the run."""
        self.status = "failed"
        self.exit, self.error = explain(error)


def sum_up(graph: Graph, outcome: Outcome, session: BackupSession, result: Result) -> None:
    """Fill in a result: each destination by itself, and the whole."""
    if session.manifest:
        manifest = session.manifest
        result.id, result.kind = manifest.id[:8], manifest.kind
        result.files, result.size, result.read = manifest.files, manifest.size, manifest.read
    if session.spool:
        result.stored = session.spool.size
    result.downtime_seconds = session.standstill.seconds
    branches = _branches(graph)
    for destination, stages in branches.items():
        result.destinations[destination] = _at(stages, graph, outcome, result.stored)
    in_branches = {name for stages in branches.values() for name in stages}
    trunk = [error for name, error in outcome.failed.items() if name not in in_branches]
    cancelled = [e for e in outcome.failed.values() if isinstance(e, Cancelled)]
    problems = [explain(error) for error in outcome.failed.values()]
    if cancelled or trunk:
        result.fail([*cancelled, *trunk][0])
        if result.holders:
            result.error = f"{result.error}. The backup {result.id} is stored all the same"
    elif not result.holders:
        result.exit = worst(status for status, _ in problems)
        result.error = "; ".join(text for _, text in problems)
    elif problems or session.missed:
        result.status, result.exit = "partial", Exit.PARTIAL
        texts = [text for _, text in problems]
        if session.missed:
            texts.append(f"{count_text(session.missed, 'file')} could not be read")
        result.error = "; ".join(texts)
    else:
        result.status, result.exit = "done", Exit.DONE


def _branches(graph: Graph) -> dict[str, list[str]]:
    """Destination -> the stages that are only its own."""
    branches: dict[str, list[str]] = {}
    for node in graph.order:
        destination = getattr(node.stage, "destination", None)
        if destination:
            branches.setdefault(destination, []).append(node.name)
    return branches


def _at(stages: list[str], graph: Graph, outcome: Outcome, stored: int) -> dict[str, Any]:
    """Say how it went at one destination: it holds the backup once that is confirmed."""
    errors = [explain(outcome.failed[name])[1] for name in stages if name in outcome.failed]
    confirms = [name for name in stages if graph.nodes[name].stage.kind == "confirm"]
    undone = outcome.failed.keys() | set(outcome.skipped)
    holds = bool(confirms) and not undone & set(confirms)
    return {
        "status": "failed" if not holds else "partial" if errors else "done",
        "bytes": stored if holds else 0,
        "error": "; ".join(errors) or None,
    }
