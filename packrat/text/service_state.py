"""Words for the state of a service, from its row of `packrat status`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat.text.alarms import accept_hint
from packrat.text.replaced import replaced_texts
from packrat.text.report import bytes_text, count_text, minute_text, time_text
from vault.archive.format import unstamp

if TYPE_CHECKING:
    from collections.abc import Iterator

CLOCK_SECONDS = 300
"""A backup dated further in the future was made with a wrong clock."""


def result_text(row: dict[str, Any]) -> str:
    """Return the result of the last run, or what runs now."""
    last, running = row["last"], row["running"]
    if running:
        stage = f" ({running['stage']}, {bytes_text(running['bytes'])})" if running["stage"] else ""
        return f"runs now{stage}"
    return f"{last['status'] if last else 'never ran'}{', overdue' * row['overdue']}"


def next_text(row: dict[str, Any], now: float) -> str:
    """Return when a service is backed up next."""
    if row["missed"]:
        return f"missed {minute_text(row['missed'])}"
    if row["next"] is None:
        return "by hand"
    if not row["daemon"]:
        return "no daemon"
    return minute_text(row["next"]) if unstamp(row["next"]) > now else "is due"


def age_text(when: str | None, now: float) -> str:
    """Return the age of a backup."""
    if when is None:
        return "never"
    if unstamp(when) > now + CLOCK_SECONDS:
        return f"dated {minute_text(when)}, in the future"
    return seconds_text(max(now - unstamp(when), 0))


def seconds_text(seconds: float) -> str:
    """Return a duration in one unit."""
    for size, unit in ((86_400, "d"), (3600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{seconds:.0f} s"


def full_lines(row: dict[str, Any], now: float) -> Iterator[tuple[str, str]]:
    """Yield everything that is known of a service, as (heading, text)."""
    service, last, most = row["service"], row["last"], row["max_age_seconds"]
    for at, name in enumerate(row["reads"]):
        yield "" if at else "folder", name
    if row["running"]:
        yield "now", f"{result_text(row)}, since {time_text(row['running']['started'])}"
    yield "last run", _last_text(last)
    if last and last["error"]:
        yield "error", last["error"]
    if row["schedule"]:
        yield "schedule", f"{row['schedule']}; next: {next_text(row, now)}"
    else:
        yield "schedule", "none: backups are made by hand"
    limit = f"; overdue from {seconds_text(most)}" if most else ""
    newest = "none" if row["alarms"] else "no backup yet"
    if row["newest"]:
        newest = f"{time_text(row['newest'])}, {age_text(row['newest'], now)}"
        newest += " old" * (not row["dated_ahead"])
    yield "newest", f"{newest}{limit}" + ": OVERDUE" * row["overdue"]
    for name, at in row["destinations"].items():
        text = "no backup seen"
        if at["newest"]:
            counted = f"{count_text(at['backups'], 'backup')}, {bytes_text(at['stored'])}"
            text = f"{counted}, newest {age_text(at['newest'], now)}"
        yield f"at {name}", text + f", {at['damaged']} DAMAGED" * bool(at["damaged"])
    for alarm in row["alarms"]:
        yield "alarm", f"{alarm['text']}{accept_hint(service)}"
    yield "verified", time_text(row["verified"]) if row["verified"] else "never"
    if row["containers"]:
        yield "containers", ", ".join(row["containers"])
    for text, folders in replaced_texts(row["replaced"], now):
        yield "set aside", text
        yield from (("", folder) for folder in folders)
    if row["replaced"]:
        yield "", f"packrat restore --undo {service}, or --forget to delete the replaced files"
    if row["log"]:
        yield "output", row["log"]


def _last_text(last: dict[str, Any] | None) -> str:
    if last is None:
        return "never"
    seconds, down = last["seconds"], last["downtime_seconds"]
    return (
        f"{time_text(last['started'])}, {last['status']}"
        + (f" after {seconds:.1f} s" if seconds is not None else "")
        + (f", containers down for {down:.1f} s" if down is not None else "")
        + (f", {bytes_text(last['stored'])} stored" if last["stored"] else "")
    )
