"""`packrat pin` and `packrat unpin`: keep a backup whatever the rules of retention say."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Literal

from packrat.errors import Exit, UsageError
from packrat.restore.choose import find_archives
from packrat.runs.catalogs import catalogs
from packrat.runs.lock import service_lock
from packrat.runs.statements import make_statements, publish_statements
from packrat.text.report import print_json, warn
from vault.archive.format import Summary, unstamp
from vault.catalog.lineage import pins_of
from vault.errors import NotThere

if TYPE_CHECKING:
    from packrat.program import Program
    from vault.catalog.catalog import Catalog


def state_pin(
    program: Program,
    service: str,
    backup: str,
    says: Literal["pin", "unpin"],
    text: str = "",
    *,
    as_json: bool,
) -> int:
    """Publish the statement at every destination; return the exit status.

    PARTIAL if a destination did not take it: catch-up brings it there.
    """
    program.services([service])
    with service_lock(program.state_dir, service, time.time()):
        found, status = catalogs(program, [service])
        summary = _backup(found, service, backup, program.host)
        pin = pins_of(found, None).get(summary.id)
        if says == "unpin" and pin is None:
            raise NotThere(f"backup {summary.id[:8]} of {service} is not pinned")
        now = max(int(time.time()), unstamp(pin.time) + 1 if pin else 0)
        said = make_statements(program, service, summary.line, says, [summary.id], now, text)
        try:
            published, failed = publish_statements(found, program.keys, said)
        except ValueError as error:
            raise UsageError(f"the text cannot be stored: {error}") from None
    if not published:
        raise failed[0]
    for refusal in failed:
        warn(f"{refusal}; the next backup brings the {says} there")
        status = Exit.PARTIAL
    row = {"service": service, "id": summary.id[:8], "says": says, "text": text}
    if as_json:
        print_json(row | {"destinations": published})
    else:
        print(f"{service}: {says}ned backup {summary.id[:8]} at {', '.join(published)}")
    return status


def _backup(found: list[Catalog], service: str, backup: str, host: str) -> Summary:
    """Return the summary of the backup; raises NotThere for an archive that is not one."""
    name = find_archives(found, backup, host).get(service)
    for catalog in found:
        for item in (*catalog.backups, *catalog.damaged):
            if item.stored.name == name and item.summary:
                return item.summary
    what = f"{name} cannot be restored by itself" if name else f"there is no backup of {service}"
    raise NotThere(what, f"packrat list {service} shows the backups")
