"""`packrat check`: validation, risky settings, and with --connect a test of the destinations.

A destination is tested by a login and by writing, reading, renaming and deleting a file. Each
container must exist, and a service must cover each folder that it writes to.
"""

from __future__ import annotations

import os
import sys
from typing import TYPE_CHECKING, Any

from msgspec.structs import asdict
from typer import confirm

from packrat.errors import Exit
from packrat.notify.urls import unknown_urls
from packrat.text.alarms import alarm_text
from packrat.text.report import bytes_text, count_text, print_json, say
from specs.compile import compile_service
from specs.discovery.coverage import coverage
from specs.exposure import exposed_metrics, exposed_secrets, risky_commands
from specs.faults import ConfigFaults, printable
from specs.load import secrets_of
from specs.secret import SecretFault
from stages.errors import SourceError
from stages.service.docker import DockerEngine, EngineAway
from stages.service.inventory import read_inventory
from vault.errors import UnknownHost, VaultError
from vault.store.probe import probe

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packrat.program import Program
    from specs.config import Config
    from vault.store.base import Store

ASKING_SECONDS = 5
"""Time that `check` waits for a Docker engine."""


def check_all(
    program: Program, *, connect: bool, strict: bool, accept_empty: bool, as_json: bool
) -> int:
    """Validate the configuration, and with `connect` test every destination.

    With `strict`, notes are a failure as well.
    """
    config = program.config
    if faults := list(unknown_urls(config, program.file)):
        raise ConfigFaults(faults)
    for name in config.services:
        compile_service(config, name).graph()
    read, of_containers, away = _check_containers(program)
    notes = [*_notes(config, program.file), *of_containers]
    tried: list[dict[str, Any]] = []
    if connect:
        tried = [
            {"destination": name} | _try(program, store, accept_empty=accept_empty)
            for name, store in program.destinations().items()
        ]
        notes += [
            alarm_text(alarm)
            for name in config.services
            for alarms in program.record.alarms(name).values()
            for alarm in alarms
        ]
    failed = [*(one for one in tried if one["problem"]), *(away if connect else [])]
    if as_json:
        document = {"valid": True, "notes": notes, "destinations": tried, "roots": read}
        print_json(document | ({"docker": away} if connect else {}))
    else:
        for name, roots in read.items():
            # A dumped database has no folder.
            texts = [
                f"{one['label']} from {one['folder'] or one['source']}"
                for one in roots
                if one["label"]
            ]
            if texts:
                say(printable(f"{name}: {', '.join(texts)}"))
        for note in notes:
            say(f"note: {printable(note)}")
        for one in tried:
            how = f"problem: {one['problem']}" if one["problem"] else f"works, free: {one['free']}"
            say(f"{one['destination']}: {printable(how)}")
            for limit in one["limits"]:
                say(f"{one['destination']}: note: {printable(limit)}")
        for problem in away if connect else []:
            say(f"docker: problem: {printable(problem)}")
        places = ", ".join(config.destinations())
        if bad := sum(one["problem"] is not None for one in tried):
            print(f"{bad} of {count_text(len(tried), 'destination')} failed")
        elif not failed:
            noted = f"; {count_text(len(notes), 'note')} above" if notes else ""
            say(f"valid: {count_text(len(config.services), 'service')}, to {places}{noted}")
    return Exit.FAILED if failed or (strict and notes) else Exit.DONE


def _notes(config: Config, file: str) -> Iterator[str]:
    """Yield notes about valid settings that may be mistakes or risks."""
    for name, service in config.services.items():
        for key, folder in service.keyed_folders:
            if not os.path.isdir(folder):
                yield f"services.{name}.{key}: {folder} is not a folder on this machine"
        if service.schedule and (days := _days_text(service.schedule)):
            yield f"services.{name}.schedule: {days}"
    for secret in secrets_of(config):
        if secret.form in ("env", "file"):
            try:
                secret.resolve()
            except SecretFault as fault:
                yield str(fault)
    yield from map(str, exposed_secrets(config, file))
    yield from risky_commands(config)
    if warning := exposed_metrics(config):
        yield warning


def _check_containers(
    program: Program,
) -> tuple[dict[str, list[dict[str, Any]]], list[str], list[str]]:
    """Return (roots, notes, problems).

    They are the roots of each service, as far as they are known; folders that no service covers;
    and engines that do not answer.
    """
    services = program.config.services
    notes: list[str] = []
    problems: dict[str | None, str] = {}
    read: dict[str, list[dict[str, Any]]] = {}
    for name, service in services.items():
        try:
            roots = service.reads.resolve(ASKING_SECONDS)
            read[name] = [asdict(one.stored) | {"folder": one.folder} for one in roots.roots]
            notes += [f"services.{name}: {text}" for text in roots.unread]
        except EngineAway as error:
            problems[service.reads.host] = f"{error}; {error.hint}"
        except SourceError as error:
            notes.append(f"services.{name}: {error}; {error.hint}")
    stopped: dict[str | None, set[str]] = {}
    for name, service in services.items():
        if not service.docker or service.docker.host in problems:
            continue
        engine = DockerEngine(service.docker.host, ASKING_SECONDS)
        for container in service.docker.names:
            try:
                engine.inspect(container)
            except EngineAway as error:
                problems[service.docker.host] = f"{error}; {error.hint}"
                break
            except SourceError as error:
                notes.append(f"services.{name}.docker: {error}")
                continue
            stopped.setdefault(service.docker.host, set()).add(container)
    for host, containers in stopped.items():
        try:
            notes += _uncovered(program.config, host, containers)
        except EngineAway as error:
            problems[host] = f"{error}; {error.hint}"
        except SourceError as error:  # a proxy of the socket may refuse the list of volumes
            notes.append(f"{error}; {error.hint}")
    return read, notes, list(problems.values())


def _uncovered(config: Config, host: str | None, containers: set[str]) -> list[str]:
    """Return notes about data of containers that no service has, as `discover` sees it."""
    found = coverage(config, read_inventory(DockerEngine(host, ASKING_SECONDS)))
    notes = {
        f"container {writer} writes to {part.place.name}, which no service covers": None
        for group in found
        if not group.ignored
        for part in group.places
        if part.unprotected and os.path.isdir(part.place.folder)  # of this machine
        for writer, _ in part.place.writers
        if writer in containers
    }
    return list(notes)


def _try(program: Program, store: Store, *, accept_empty: bool) -> dict[str, Any]:
    """Test a destination; return its free space and limits, or its problem with advice.

    `limits` are sentences about what its filesystem cannot do. A destination that had backups and
    now lists none is a problem unless the user accepts it.
    """
    try:
        # First, because the test creates the folder, and an empty mount point must stay empty.
        if count := program.cache.emptied(store):
            had = f"held {count_text(count, 'backup')} and lists none"
            if not accept_empty and not _empty_on_purpose(store, had):
                return _problem(
                    f"{had}; is its disk mounted? If they were deleted on purpose:"
                    " packrat check --connect --accept-empty"
                )
        limits = probe(store, os.urandom(8).hex())
        free = store.free()
        if count:
            program.cache.forget(store, program.record)
    except UnknownHost as error:
        if _accepted(program, store, error):
            return _try(program, program.reopened(store.name), accept_empty=accept_empty)
        return _problem(f"{error}; {error.hint}")
    except VaultError as error:
        return _problem(f"{error}; {error.hint}" if error.hint else str(error))
    free_text = "unknown" if free is None else bytes_text(free)
    return {"free": free_text, "problem": None, "limits": limits}


def _problem(text: str) -> dict[str, Any]:
    return {"free": None, "problem": text, "limits": []}


def _empty_on_purpose(destination: Store, had: str) -> bool:
    """Ask on a terminal whether the missing backups were deleted on purpose."""
    if not sys.stdin.isatty():
        return False
    question = f"{destination.name} ({printable(destination.root)}) {had}: accept that?"
    return confirm(question, err=True)


def _accepted(program: Program, destination: Store, error: UnknownHost) -> bool:
    """Ask on a terminal whether to trust a host key; store it beside the key file."""
    if not (sys.stdin.isatty() and error.line):
        return False
    print(
        f"The server of {destination.name} has a host key that was not accepted yet:\n"
        f"  {printable(error.fingerprint)}\n"
        "Compare it with the server's own keys. Print them there (on a Synology, over SSH):\n"
        "  for f in /etc/ssh/ssh_host_*_key.pub; do ssh-keygen -lf $f; done",
        file=sys.stderr,
    )
    if not confirm("Is it the same?", err=True):
        return False
    folder = os.path.dirname(program.config.encryption.key_file)
    os.makedirs(folder, mode=0o700, exist_ok=True)
    with open(os.path.join(folder, "known_hosts"), "a", encoding="utf-8") as file:
        file.write(error.line + "\n")
    return True


def _days_text(schedule: str) -> str:
    """Return on which days a schedule with both a day and a weekday runs, else an empty text."""
    if schedule.startswith("@"):
        return ""
    _, _, day, _, weekday = schedule.split()
    if "*" in (day, weekday):
        return ""
    how = "both" if day.startswith("*") or weekday.startswith("*") else "one"
    return f"as with cron(8), it runs on days that match {how} of: day {day}, weekday {weekday}"
