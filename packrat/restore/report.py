"""Restore with a progress bar and a report of its result."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING

from packrat.errors import Exit, Interrupted
from packrat.restore.restore import restore
from packrat.text.progress import Detail, progress
from packrat.text.replaced import until_text
from packrat.text.report import bytes_text, count_text, print_json, say, time_text
from specs.faults import printable

if TYPE_CHECKING:
    from packrat.restore.opened import OpenedBackup
    from specs.pipeline import Pipeline


def restore_and_report(
    pipeline: Pipeline,
    opened: OpenedBackup,
    *,
    as_json: bool,
    detail: Detail = Detail.NORMAL,
) -> int:
    """Run a restore document with a progress bar, and report; return the exit status."""
    service, target = pipeline.service, pipeline.to
    try:
        with progress(service, {"gather": "restoring"}, detail=detail) as listener:
            restored = restore(pipeline, opened, [listener])
    except KeyboardInterrupt:
        raise Interrupted(
            f"{service}: interrupted; run the same restore to {target} again to continue"
            if target
            else f"{service}: interrupted; nothing was changed"
        ) from None
    if as_json:
        document = asdict(restored)
        del document["partial"]
        print_json({("from" if key == "source" else key): value for key, value in document.items()})
        return Exit.PARTIAL if restored.partial else Exit.DONE
    if detail is Detail.QUIET:
        return Exit.PARTIAL if restored.partial else Exit.DONE
    where = f"to {printable(restored.target)}" if target else "in place"
    say(
        f"{service}: restored {count_text(restored.files, 'file')}, {bytes_text(restored.size)},"
        f" of backup {restored.id} ({time_text(restored.made)}) from {restored.source} {where}"
        f" in {restored.seconds:.1f} s"
    )
    if restored.downtime_seconds is not None:
        say(f"{service}: its containers were down for {restored.downtime_seconds:.1f} s")
    if restored.replaced_folders:
        folders = "\n  ".join(map(printable, restored.replaced_folders))
        say(
            f"The replaced files are in\n  {folders}\n"
            f"  packrat restore --undo {service}    puts them back\n"
            f"  packrat restore --forget {service}  deletes them\n"
            f"They stay until {until_text(restored.replaced_until or '', time.time())}."
        )
    elif sys.stdout.isatty():
        print("The service's own files were not changed.")
    return Exit.PARTIAL if restored.partial else Exit.DONE
