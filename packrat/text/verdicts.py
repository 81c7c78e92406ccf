"""Verdicts of a verification, as rows of a JSON document and as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat.text.report import bytes_text, count_text
from specs.faults import printable
from stages.masking import masked

if TYPE_CHECKING:
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


def print_verdicts(rows: list[dict[str, Any]]) -> None:
    """Print a line for each archive, and one below it for each problem."""
    for row in rows:
        problems = "".join(f"\n    {printable(problem)}" for problem in row["problems"])
        part = ", only what backups need of it" if row["base"] else ""
        print(
            f"{row['service']} {row['id']} at {row['destination']}: {row['status']},"
            f" {bytes_text(row['bytes_read'])} read{part}{problems}"
        )


def summary_of(rows: list[dict[str, Any]]) -> str:
    """Return how many archives are good, and how many could not be read."""
    good = sum(row["status"] == "ok" for row in rows)
    unknown = sum(row["status"] == "unreadable" for row in rows)
    more = f", {unknown} could not be read" if unknown else ""
    return f"{good} of {count_text(len(rows), 'archive')} good{more}"
