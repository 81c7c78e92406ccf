"""Acceptance of a destination's history as it is, which ends its alarms."""

from __future__ import annotations

import sys
import time
from typing import TYPE_CHECKING

from typer import confirm

from packrat.errors import Exit, Interrupted, UsageError
from packrat.runs.catalogs import alarms_of, list_service
from packrat.runs.lock import service_lock
from packrat.runs.statements import make_statements, publish_statements
from packrat.text.alarms import alarm_keys, alarm_sentence, named
from packrat.text.report import print_json, say, warn
from vault.catalog.hosts import is_of
from vault.catalog.watch import held_of

if TYPE_CHECKING:
    from packrat.program import Program
    from vault.catalog.alarm import Alarm
    from vault.catalog.catalog import Catalog
    from vault.errors import VaultError


def accept_history(program: Program, service: str, *, yes: bool, as_json: bool) -> int:
    """Show the alarms about a service, ask, and end them by a statement; return the exit status.

    PARTIAL if a destination does not answer, or did not take the statement.
    """
    program.services([service])
    with service_lock(program.state_dir, service, time.time()):
        listed, away, alarms = list_service(program, service)
        found, problems = [*listed.values()], [*away.values()]
        if not found:
            raise problems[0]
        if alarms:
            _ask(alarms, yes=yes)
            problems += _accept(program, service, found, alarms)
    for problem in problems:
        warn(str(problem))
    if as_json:
        print_json({"service": service, "accepted": [alarm_keys(alarm) for alarm in alarms]})
    elif not alarms:
        say(f"{service}: there is no alarm to accept")
    else:
        places = ", ".join(dict.fromkeys(alarm.destination for alarm in alarms))
        say(f"{service}: accepted what is at {places} now; backups go on from there")
    return Exit.PARTIAL if problems else Exit.DONE


def _ask(alarms: list[Alarm], *, yes: bool) -> None:
    """Show what is to be accepted; raises Interrupted if the user does not confirm."""
    for alarm in alarms:
        say(alarm_sentence(alarm), sys.stderr)
        for lost in alarm.lost:
            say(f"    {named(lost)}", sys.stderr)
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError("--accept asks for confirmation; without a terminal, pass --yes")
    if not confirm("Accept that?", err=True):
        raise Interrupted("nothing was accepted")


def _accept(
    program: Program, service: str, catalogs: list[Catalog], alarms: list[Alarm]
) -> list[VaultError]:
    """Publish the statement and record it; return the errors of destinations."""
    ids = {one.id for alarm in alarms for one in alarm.lost}
    now, record = time.time(), program.record
    own = [
        (catalog, item)
        for catalog in catalogs
        for item in catalog.listed
        if is_of(item, program.host)
    ]
    problems: list[VaultError] = []
    if own:  # else there is no line to say anything about
        newest = max(own, key=lambda each: each[1].stored.name)[1].summary
        assert newest is not None
        said = make_statements(program, service, newest.line, "accepted", sorted(ids), now)
        published, failed = publish_statements(catalogs, program.keys, said)
        problems += failed
        if not published:
            raise failed[0]
    for alarm in alarms:
        lost = [(one.name, one.id) for one in alarm.lost]
        record.drop(service, alarm.destination, lost, "accepted")
    # The statement does not say where: what others still have must not vanish unnoticed later.
    record.add(
        service,
        [held_of(*each, now + 1) for each in own if each[1].summary and each[1].summary.id in ids],
    )
    again, _ = program.cache.catalogs(program.destinations(service), service, program.keys)
    alarms_of(program, service, again.values(), now + 1)
    return problems
