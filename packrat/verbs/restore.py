"""`packrat restore`: a backup, or some of its paths, to a folder or in place."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from msgspec import structs

from packrat.errors import Exit, Interrupted, UsageError
from packrat.restore.older import require_consent
from packrat.restore.opened import OpenedBackup
from packrat.restore.report import restore_and_report
from packrat.restore.request import Request, in_roots, inside
from packrat.restore.undo import undo
from packrat.restore.unlock import choose_and_unlock
from packrat.text.alarms import alarm_text
from packrat.text.progress import Detail
from packrat.text.report import warn
from specs.compile import compile_restore
from specs.faults import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packrat.program import Program


def _path_in_backup(path: str, labels: Mapping[str, str]) -> str:
    """Return a path as the backup names it; `/` may also mean what holds all of it."""
    if not path:
        raise UsageError("--path is empty; leave it out to restore everything")
    named = in_roots(path, labels)
    named = inside(path.lstrip("/") or ".", "/") if named is None else named
    if named is None:
        where = ", ".join(labels.values()) or "the folder of the service"
        raise UsageError(f"--path {path!r} is not below {where}")
    return named


def restore_with_options(
    program: Program, given: Request, *, yes: bool, as_json: bool, detail: Detail
) -> int:
    """Restore, and ask for missing options on a terminal; return the exit status."""
    if given.target is not None and given.in_place:
        raise UsageError("pass only one of --to and --in-place")
    if given.target == "-":
        raise UsageError("--to needs a folder; packrat cat SERVICE BACKUP PATH prints one file")
    labels: Mapping[str, str] = {}
    if given.service:
        [service] = program.services([given.service], stored=True)
        if given.in_place:
            _require_configured(program, service)
        labels = program.config.services[service].reads.labels
    if given.paths is not None:
        paths = [_path_in_backup(path, labels) for path in given.paths]
        given = structs.replace(given, paths=() if "" in paths else tuple(paths))
    if not yes and _is_interactive():
        from packrat.picker.steps import Picker

        picker = Picker(program, given)
        try:
            request = picker.request()
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing was restored") from None
        if picker.undo:
            return undo(picker.program, picker.service)
        if request is None:
            print("nothing was restored", file=sys.stderr)
            return Exit.INTERRUPTED
        program, opened = picker.program, picker.opened
    else:
        if not given.service or (given.target is None and not given.in_place):
            raise UsageError("name the service and the target: packrat restore SERVICE --to DIR")
        if not yes:
            raise UsageError("restore asks for confirmation; without a terminal, pass --yes")
        request, opened = given, None
    return restore_to(program, request, opened, ask=not yes, as_json=as_json, detail=detail)


def _require_configured(program: Program, service: str) -> None:
    """Raise UsageError for an in-place restore of a service that left the configuration."""
    if service in program.adopted:
        raise UsageError(
            f"{service!r} is not in the configuration, so the place of its files is not known:"
            f" restore it to a folder: packrat restore {service} --to DIR"
        )


def _is_interactive() -> bool:
    """Return whether there is a terminal that can move its cursor."""
    whole = sys.stdin.isatty() and sys.stderr.isatty()
    return whole and os.environ.get("TERM", "dumb") not in ("", "dumb")


def restore_to(
    program: Program,
    request: Request,
    opened: OpenedBackup | None,
    *,
    ask: bool,
    as_json: bool,
    detail: Detail,
) -> int:
    """Restore to a folder, or in place, and report; return the exit status.

    `opened` is the backup if the picker has already opened it. With `ask`, on a terminal, ask
    whether `latest` may be older than one that a destination had.
    """
    service, backup = request.service, "latest" if request.backup is None else request.backup
    if request.target is None:  # the picker may have chosen it
        program.require_whole()
        _require_configured(program, service)
    if opened is None:
        program, chosen = choose_and_unlock(
            program, service, backup, request.source, request.password_file
        )
        opened = OpenedBackup(service, chosen, program.keys)
    else:  # the picker has the whole screen, and does not warn
        for alarms in program.record.alarms(service).values():
            for alarm in alarms:
                warn(alarm_text(alarm))
    if not request.accept_older:
        ask = ask and _is_interactive()
        require_consent(program, service, backup, opened.manifest, ask=ask)
    target = request.target and os.path.abspath(os.path.expanduser(request.target))
    paths = request.paths or ()
    paths = () if "" in paths else paths
    pipeline = compile_restore(
        program.config, service, opened.manifest.id, opened.source, paths, target
    )
    status = restore_and_report(pipeline, opened, as_json=as_json, detail=detail)
    if opened.manifest.host != program.config.host and not as_json and detail is not Detail.QUIET:
        print(f"{service}: the backup is of host {printable(opened.manifest.host)}")
    return status
