"""Alarms about the history of a service, as sentences and as keys of JSON documents."""

from __future__ import annotations

from typing import Any

from packrat.text.report import time_text
from vault.catalog.alarm import Alarm, Kind, Lost


def alarm_text(alarm: Alarm) -> str:
    """Return what is wrong, and what to do if it is deliberate."""
    return f"{alarm_sentence(alarm)}{accept_hint(alarm.service)}"


def accept_hint(service: str) -> str:
    """Return what to do if an alarm is due to a deliberate change, to continue its sentence."""
    return f". If that was deliberate: packrat check --connect --accept {service}"


def alarm_sentence(alarm: Alarm) -> str:
    """Return what is wrong."""
    last, count = named(alarm.lost[-1]), len(alarm.lost)
    newest = named(alarm.newest) if alarm.newest else ""
    one = count == 1
    if alarm.kind is Kind.BASE:
        more = f" and {count - 1} more" * (not one)
        text = f"the newest backup, of {newest}, cannot be restored from there: it needs that of"
        text += f" {last}{more}, which {'is' if one else 'are'} missing"
    elif alarm.kind is Kind.EMPTY:
        text = f"there is no backup, but there was one of {last}"
        text += f", and {count - 1} more" * (not one)
    elif alarm.kind is Kind.OLDER:
        text = f"the newest backup is of {newest}, but there"
        text += f" {'should be' if alarm.inferred else 'was'} one of {last}"
        text += f", and {count - 1} more" * (not one)
    else:
        text = f"the backup of {last} is missing" if one else ""
        text = text or f"{count} backups are missing, the newest of {last}"
    text += f"; packrat did not delete {'it' if one else 'them'}"
    moved = f"; the destination's path was {alarm.moved_from} then" * bool(alarm.moved_from)
    return f"{alarm.service} at {alarm.destination}: {text}{moved}"


def named(lost: Lost) -> str:
    """Return the time and the id of an archive."""
    return f"{time_text(lost.made)} ({lost.id[:8]})"


def alarm_keys(alarm: Alarm) -> dict[str, Any]:
    """Return the documented keys of an alarm."""
    return {
        "destination": alarm.destination,
        "kind": alarm.kind.value,
        "missing": [{"id": one.id[:8], "time": one.made} for one in alarm.lost],
        "newest": alarm.newest and {"id": alarm.newest.id[:8], "time": alarm.newest.made},
        "text": alarm_sentence(alarm),
    }
