"""Request of a restore, from the command line or the picker."""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING

from msgspec import Struct, structs

from packrat.errors import Exit, Interrupted, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable

    from packrat.program import Program


class Request(Struct, frozen=True):
    """All options of one restore, complete."""

    service: str
    backup: str = "latest"
    """The name of an archive; a prefix of an id or of a time; or `latest`."""
    source: str | None = None
    """The destination to read from; None is the nearest one that has the backup."""
    paths: tuple[str, ...] = ()
    """Selection: each path with everything below it; empty for the whole backup."""
    target: str | None = None
    """The folder to restore to; None restores in place."""
    password_file: str | None = None
    """File with the password of a backup under another key."""


class Given(Struct, frozen=True):
    """Options of the command line; None for those that were left out."""

    service: str | None = None
    backup: str | None = None
    source: str | None = None
    paths: tuple[str, ...] | None = None
    target: str | None = None
    in_place: bool = False
    password_file: str | None = None

    def at(self, paths: Iterable[str]) -> Given:
        """Return the same options with other paths."""
        return structs.replace(self, paths=tuple(paths))


def inside(path: str, folder: str) -> str | None:
    """Return a path relative to a folder, "" for the folder itself, None if it is outside.

    A relative path is taken as relative to the folder.
    """
    relative = os.path.normpath(os.path.relpath(path, folder) if os.path.isabs(path) else path)
    if relative.split("/")[0] == "..":
        return None
    return "" if relative == "." else relative


def _path_in_backup(path: str, folder: str | None) -> str:
    """Return a path as the backup names it; `/` may also mean the service's folder."""
    if not path:
        raise UsageError("--path is empty; leave it out to restore everything")
    named = inside(path, folder) if folder else None
    named = inside(path.lstrip("/") or ".", "/") if named is None else named
    if named is None:
        raise UsageError(f"--path {path!r} is not below {folder or 'the folder of the service'}")
    return named


def restore_as_given(program: Program, given: Given, *, yes: bool, as_json: bool) -> int:
    """Restore, and ask for missing options on a terminal; return the exit status."""
    from packrat.verbs.showing import restore_to

    if given.target is not None and given.in_place:
        raise UsageError("pass only one of --to and --in-place")
    folder = None
    if given.service is not None:
        [service] = program.services([given.service])
        folder = program.config.services[service].path
    if given.paths is not None:
        paths = [_path_in_backup(path, folder) for path in given.paths]
        given = given.at([] if "" in paths else paths)
    if not yes and _is_interactive():
        from packrat.picker.steps import Picker

        picker = Picker(program, given)
        try:
            picked = picker.request()
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing was restored") from None
        if picked is None:
            print("nothing was restored", file=sys.stderr)
            return Exit.INTERRUPTED
        program, request, opened = picker.program, picked, picker.opened
    else:
        if given.service is None or (given.target is None and not given.in_place):
            raise UsageError(
                "restore needs a service and where to: packrat restore SERVICE --to DIR"
            )
        if not yes:
            raise UsageError("restore asks before it writes; off a terminal give --yes")
        opened = None
        request = Request(
            given.service,
            "latest" if given.backup is None else given.backup,
            given.source,
            given.paths or (),
            given.target,
            given.password_file,
        )
    return restore_to(program, request, opened, as_json=as_json)


def _is_interactive() -> bool:
    """Return whether there is a terminal that can move its cursor."""
    whole = sys.stdin.isatty() and sys.stderr.isatty()
    return whole and os.environ.get("TERM", "dumb") not in ("", "dumb")
