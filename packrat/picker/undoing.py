"""Offer of the picker to undo the newest in-place restore of a service."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from msgspec import structs

from packrat.picker.prompts import Line, confirm_plan
from packrat.text.report import bytes_text, time_text, when_text
from specs.faults import printable
from stages.errors import SourceError
from stages.in_place.replaced import Replaced, replaced_by
from stages.in_place.undo import newest_undoable
from vault.archive.format import stamp

if TYPE_CHECKING:
    from packrat.picker.screen import Navigation
    from specs.config import Config


def undoable(config: Config, service: str) -> Replaced | None:
    """Return the replaced folders that an undo would put back, as one, if there are any."""
    with suppress(SourceError):  # an unreadable record: the command reports it
        if records := newest_undoable(config.state_dir, service):
            there = replaced_by(config.state_dir, service, config.services[service].folders)
            of = (service, records[0].since, "restore")
            if found := [one for one in there if (one.service, one.since, one.by) == of]:
                folders = ", ".join(one.folder for one in found)
                size = sum(one.bytes for one in found)
                return structs.replace(found[0], folder=folders, bytes=size)
    return None


def undo_line(one: Replaced) -> Line:
    """Return the line that offers the undo."""
    size = bytes_text(one.bytes)
    return Line(f"undo the restore in place of {when_text(stamp(one.since))}: {size} back", one)


def confirm_undo(config: Config, one: Replaced) -> Navigation | None:
    """Show what the undo does and ask for confirmation; None for yes."""
    service = config.services[one.service]
    stopped = ", ".join(service.stopped)
    lines = [
        f"service   {one.service}",
        f"undo      the restore in place of {time_text(stamp(one.since))}",
        f"back      {bytes_text(one.bytes)} from",
        f"          {printable(one.folder)}",
        "aside     what is there now, into the same folder",
        f"stopped   {stopped or 'nothing'}" + ", for seconds, and started again" * bool(stopped),
    ]
    return confirm_plan(lines, "Undo?", "yes, undo", careful=True)
