"""Verdicts of a verification, as rows of a JSON document and as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat.text.progress import Detail
from packrat.text.report import bytes_text, count_text, say
from specs.faults import printable
from stages.masking import masked
from vault.catalog.verdict import Status

if TYPE_CHECKING:
    from collections.abc import Iterator

    from vault.catalog.verdict import Verdict


def row_of(service: str, verdict: Verdict) -> dict[str, Any]:
    """Return the documented keys of a verdict."""
    return {
        "service": service,
        "id": verdict.id,
        "destination": verdict.destination,
        "status": verdict.status.value,
        "problems": list(map(masked, verdict.problems)),
        "bytes_read": verdict.bytes_read,
        "base": verdict.base,
    }


def print_verdicts(rows: list[dict[str, Any]], detail: Detail, end: str) -> None:
    """Print a line for each archive, one below it for each problem, `end`, and what to do."""
    for row in rows:
        if detail is Detail.QUIET and row["status"] == Status.GOOD:
            continue
        problems = "".join(f"\n    {printable(problem)}" for problem in row["problems"])
        part = ", only what backups need of it" if row["base"] else ""
        say(
            f"{row['service']} {row['id']} at {row['destination']}: {row['status']},"
            f" {bytes_text(row['bytes_read'])} read{part}{problems}"
        )
    if detail is not Detail.QUIET:
        say(f"{summary_of(rows)}{end}")
    for sentence in _next_steps(rows):
        say(sentence)


def _next_steps(rows: list[dict[str, Any]]) -> Iterator[str]:
    """Yield what to do about each damaged or incomplete archive."""
    good = {(row["service"], row["id"]): row["destination"] for row in rows if _is(row, "ok")}
    advised = set()
    for row in rows:
        at = service, id_ = row["service"], row["id"]
        if not _is(row, "damaged", "missing") or at in advised:
            continue
        advised.add(at)
        if source := good.get(at):
            yield (
                f"{service} {id_} is good at {source}, and restores read it there."
                " packrat verify --due replaces the damaged file."
            )
        else:
            yield (
                f"{service} {id_}: packrat backup {service} makes a new backup, which stores again"
                f" what is lost; packrat restore {service} --backup {id_} --to DIR restores what is"
                " still good, and names the files that are not."
            )


def _is(row: dict[str, Any], *statuses: str) -> bool:
    return row["status"] in statuses


def summary_of(rows: list[dict[str, Any]]) -> str:
    """Return how many archives are good, and how many could not be read."""
    good = sum(row["status"] == "ok" for row in rows)
    unknown = sum(row["status"] == "unreadable" for row in rows)
    more = f", {unknown} could not be read" if unknown else ""
    return f"{good} of {count_text(len(rows), 'archive')} good{more}"
