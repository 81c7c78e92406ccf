"""Offer of the picker to undo the newest in-place restore of a service."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from packrat.picker.prompts import Line, pick
from packrat.picker.screen import Navigation
from packrat.text.report import bytes_text, time_text, when_text
from specs.faults import printable
from stages.errors import SourceError
from stages.in_place.replaced import Replaced, replaced_folders
from stages.in_place.undo import newest_undoable
from vault.archive.format import stamp

if TYPE_CHECKING:
    from specs.config import Config


def undoable(config: Config, service: str) -> Replaced | None:
    """Return the replaced folder that an undo would put back, if there is one."""
    with suppress(SourceError):  # an unreadable record: the command reports it
        path = config.services[service].path
        if record := newest_undoable(config.state_dir, service):
            for one in reversed(replaced_folders(config.state_dir, path)):
                if (one.service, one.since, one.by) == (service, record.since, "restore"):
                    return one
    return None


def undo_line(one: Replaced) -> Line:
    """Return the line that offers the undo."""
    size = bytes_text(one.bytes)
    return Line(f"undo the restore in place of {when_text(stamp(one.since))}: {size} back", one)


def sure_to_undo(config: Config, one: Replaced) -> Navigation | None:
    """Show what the undo does and ask for confirmation; None for yes."""
    service = config.services[one.service]
    stopped = ", ".join(service.docker.names) if service.docker else "nothing"
    title = "\n  ".join(
        (
            "The plan",
            f"service   {one.service}",
            f"undo      the restore in place of {time_text(stamp(one.since))}",
            f"back      {bytes_text(one.bytes)} from",
            f"          {printable(one.folder)}",
            "aside     what is there now, into the same folder",
            f"stopped   {stopped}" + ", for seconds, and started again" * bool(service.docker),
            "",
            "Undo?",
        )
    )
    lines = [
        Line("yes, undo", "yes"),
        Line("no, change nothing", Navigation.LEAVE),
        Line("← back", Navigation.BACK),
    ]
    answer = pick(title, lines, at=Navigation.LEAVE)
    return answer if isinstance(answer, Navigation) else None
