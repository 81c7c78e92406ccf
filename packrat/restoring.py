"""The command restore: from what was given, or picked, to one request that is carried out."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from packrat.exits import Exit, Interrupted, UsageError
from packrat.request import Request

if TYPE_CHECKING:
    from packrat.program import Program
    from packrat.request import Given


def restore_as_given(program: Program, given: Given, *, yes: bool, as_json: bool) -> int:
    """Restore; on a terminal what was not given is asked for. Gives the exit status."""
    from packrat.prompts import usable
    from packrat.showing import restore_to

    if given.target is not None and given.in_place:
        raise UsageError("give one of --to and --in-place")
    if given.service is not None:
        program.services([given.service])
    if given.paths is not None:
        given = given.at(path.strip("/") for path in given.paths)
    if not yes and usable():
        from packrat.picker import Picker

        picker = Picker(program, given)
        try:
            picked = picker.request()
        except KeyboardInterrupt:
            raise Interrupted("interrupted; nothing was restored") from None
        if picked is None:
            print("nothing was restored", file=sys.stderr)
            return Exit.INTERRUPTED
        program, request = picker.program, picked
    else:
        if given.service is None or (given.target is None and not given.in_place):
            raise UsageError(
                "restore needs a service and where to: packrat restore SERVICE --to DIR"
            )
        if not yes:
            raise UsageError("restore asks before it writes; off a terminal give --yes")
        request = Request(
            given.service,
            "latest" if given.backup is None else given.backup,
            given.source,
            given.paths or (),
            given.target,
        )
    return restore_to(program, request, as_json=as_json)
