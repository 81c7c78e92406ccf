"""Verdicts of a verification, as rows of a JSON document and as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat.text.alarms import alarm_text
from packrat.text.progress import Detail
from packrat.text.report import bytes_text, count_text, say
from specs.faults import printable
from stages.masking import masked
from vault.archive.format import StatementName
from vault.catalog.alarm import Alarm, Kind
from vault.catalog.verdict import Status, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from stages.facts import DumpsProven


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
        "file": verdict.name,
        "vanished": False,
        "dumps": [],
    }


def with_alarms(rows: list[dict[str, Any]], alarms: Iterable[Alarm]) -> list[dict[str, Any]]:
    """Return the rows, and one for each archive that vanished from a destination.

    Where the newest backup lacks a base, its own row says so.
    """
    rows = list(rows)
    for alarm in alarms:
        place: dict[str, Any] = {"service": alarm.service, "destination": alarm.destination}
        if alarm.kind is Kind.BASE and alarm.newest:
            about = place | {"id": alarm.newest.id[:8]}
            for row in rows:
                if about.items() <= row.items():
                    row["problems"].append(alarm_text(alarm))
            continue
        for lost in alarm.lost:
            text = alarm_text(alarm) if lost is alarm.lost[-1] else "packrat did not delete it"
            row = place | {"id": lost.id[:8], "status": Status.MISSING.value, "problems": [text]}
            row |= {"bytes_read": 0, "base": False, "file": lost.name, "vanished": True}
            row |= {"dumps": []}
            rows.append(row)
    return rows


def with_dumps(rows: list[dict[str, Any]], proven: DumpsProven) -> list[dict[str, Any]]:
    """Return the rows, in which a backup with dumps that cannot be read counts as damaged.

    Its archive is as it was written, so nothing is recorded about that.
    """
    problems = [
        masked(f"{path} cannot be read by pg_restore: {why}")
        for path, why in proven.unsound.items()
    ]
    bad = {"status": Status.DAMAGED.value, "problems": problems, "dumps": [*proven.unsound]}
    about = {"destination": proven.destination, "file": proven.archive}
    return [row | bad if problems and about.items() <= row.items() else row for row in rows]


def print_verdicts(
    rows: list[dict[str, Any]], detail: Detail, end: str, old: Mapping[str, list[str]] | None = None
) -> None:
    """Print a line for each archive, one below it for each problem, `end`, and what to do.

    `old` are the archives of each service that are damaged and that nothing needs any more.
    """
    for row in rows:
        if detail is Detail.QUIET and row["status"] == Status.GOOD:
            continue
        problems = "".join(f"\n    {printable(problem)}" for problem in row["problems"])
        part = ", only what backups need of it" if row["base"] else ""
        say(
            f"{row['service']} {_what(row)} at {row['destination']}: {row['status']},"
            f" {bytes_text(row['bytes_read'])} read{part}{problems}"
        )
    if detail is not Detail.QUIET:
        say(f"{summary_of(rows)}{end}")
    for sentence in _next_steps(rows, old or {}):
        say(sentence)


def _is_statement(row: dict[str, Any]) -> bool:
    return StatementName.parse(row["file"]) is not None


def _what(row: dict[str, Any]) -> str:
    return "statement " * _is_statement(row) + str(row["id"])


def _next_steps(rows: list[dict[str, Any]], old: Mapping[str, list[str]]) -> Iterator[str]:
    """Yield what to do about each damaged or incomplete archive or statement."""
    good = {(row["service"], row["id"]): row["destination"] for row in rows if _is(row, "ok")}
    advised = set()
    for row in rows:
        at = service, id_ = row["service"], row["id"]
        if not _is(row, "damaged", "missing") or row["vanished"] or at in advised:
            continue
        advised.add(at)
        if _is_statement(row):
            advice = (
                f"newer backups repeat what it said; delete {row['file']} at {row['destination']}"
            )
            if source := good.get(at):
                advice = f"it is good at {source}, and the next backup copies it from there"
            yield f"{service} statement {id_}: {advice}."
        elif row["dumps"]:
            yield (
                f"{service} {id_}: packrat backup {service} dumps the database again; packrat"
                f" verify {service} --deep --backup ID reads the dumps of an older backup through."
            )
        elif row["file"] in old.get(service, ()):
            continue
        elif source := good.get(at):
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
    for service, names in old.items():
        if ids := [name.rpartition("-")[2][:8] for name in names]:
            yield (
                f"{service}: a newer backup is good. packrat restore {service} --backup {ids[-1]}"
                " --to DIR restores what is still good of an old one; packrat forget"
                f" {service} {' '.join(ids)} deletes what is damaged."
            )


def _is(row: dict[str, Any], *statuses: str) -> bool:
    return row["status"] in statuses


def summary_of(rows: list[dict[str, Any]]) -> str:
    """Return how many archives and statements are good, and how many could not be read."""
    statements = [row for row in rows if _is_statement(row)]
    archives = [row for row in rows if not _is_statement(row)]
    said = [_good(archives, "archive")] + [_good(statements, "statement")] * bool(statements)
    unknown = sum(row["status"] == "unreadable" for row in rows)
    return f"{' and '.join(said)} good" + f", {unknown} could not be read" * bool(unknown)


def _good(rows: list[dict[str, Any]], what: str) -> str:
    return f"{sum(_is(row, 'ok') for row in rows)} of {count_text(len(rows), what)}"
