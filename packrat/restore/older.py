"""Consent to a `latest` backup that is older than one that a destination had."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from typer import confirm

from packrat.errors import Interrupted
from packrat.restore.match import steps_back
from packrat.text.alarms import alarm_sentence, named
from vault.archive.format import ArchiveName, Summary
from vault.catalog.alarm import Kind
from vault.errors import NotThere

if TYPE_CHECKING:
    from packrat.program import Program


def require_consent(
    program: Program, service: str, backup: str, chosen: Summary, *, ask: bool
) -> None:
    """Require that the user accepts an older backup, if `latest` no longer is the latest.

    With `ask`, on a terminal, ask whether to go on. Raises NotThere or Interrupted.
    """
    if steps_back(backup) is None:
        return
    newer = [
        (one, alarm)
        for alarms in program.record.alarms(service).values()
        for alarm in alarms
        for one in (*alarm.lost, *([alarm.newest] if alarm.kind is Kind.BASE else []))
        if one and one.name > chosen.name
    ]
    if not newer:
        return
    last, alarm = max(newer, key=lambda each: each[0].name)
    name = ArchiveName.parse(chosen.name)
    if ask and sys.stdin.isatty():
        print(f"{alarm_sentence(alarm)}.", file=sys.stderr)
        question = f"Restore the older backup, of {name and name.time} ({chosen.id[:8]})?"
        if confirm(question, err=True):
            return
        raise Interrupted("nothing was restored")
    raise NotThere(
        f"the latest backup of {service} that can be restored is {chosen.id[:8]}, and there was a"
        f" newer one, of {named(last)}; nothing was restored",
        f"to restore the older one: --accept-older, or --backup {chosen.id[:8]}",
    )
