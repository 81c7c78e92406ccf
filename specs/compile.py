"""Compile a service of the configuration to its pipeline spec."""

import os
from collections.abc import Iterable
from typing import Any

from specs.config import Config
from specs.destinations import Local
from specs.pipeline import Pipeline
from specs.service import Command, Service


def compile_service(
    config: Config, name: str, *, full: bool = False, alone: bool = False
) -> Pipeline:
    """Give the pipeline of one service: self-contained, plain data.

    `full` refers to no other archive; `alone` touches no container and runs no command.

    Raises:
        KeyError: There is no such service.
    """
    service = config.services[name]
    if alone:
        nothing = dict.fromkeys(("docker", "pre_backup", "post_backup", "post_restore"))
        service = service.model_copy(update=nothing)
    destinations = config.destinations_of(service)
    keep = config.retention_of(service)
    line = _Line()
    whole: dict[str, Any] = {} if service.incremental and not full else {"incremental": False}
    line.then("survey", keep=keep, **whole)
    _read(line, config, service)
    for stage in ("chunk", "pack", "compress", "encrypt"):
        line.then(stage)
    line.then("spool", max_size=config.spool.max_size, min_free=config.spool.min_free)
    for destination in destinations:
        line.last = "spool"
        proof = {"full": True} if config.backup.confirm == "full" else {}
        branch: dict[str, dict[str, Any]] = {
            "catch_up": {"keep": keep},
            "upload": {},
            "confirm": proof,
            "prune": {"keep": keep},
        }
        for stage, params in branch.items():
            line.then(f"{stage}:{destination}", stage, destination=destination, **params)
    return Pipeline(
        pipeline=1,
        service=name,
        host=config.host,
        key_file=config.encryption.key_file,
        state_dir=config.state_dir,
        spool=config.spool_path,
        destinations=destinations,
        stages=line.stages,
    )


class _Line:
    """Stages in the order in which they are written down, each after the last one."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, Any]] = {}
        self.last = ""

    def then(self, name: str, kind: str = "", after: Iterable[str] = (), **params: Any) -> None:
        """Add a stage after the last one, and `after` others; its kind is its name unless given."""
        before = [self.last, *after] if self.last else []
        self.stages[name] = {"kind": kind or name, **params} | ({"after": before} if before else {})
        self.last = name

    def release(self, name: str, scope: str, after: str) -> None:
        """Add the stage that lets go of a scope."""
        self.stages[name] = {"releases": scope, "after": [after]}


def _read(line: _Line, config: Config, service: Service) -> None:
    """Write down what reads the source, with all that holds it still meanwhile."""
    docker, source = service.docker, _source(config, service)
    if service.post_restore:
        # On the way back it comes last; so here it is before all that it may undo.
        line.then("post_restore", **_command(service, service.post_restore))
    if docker or service.pre_backup or service.post_backup:
        line.then("preflight", **_preflight(config, service))
    if service.post_backup:
        first = {"first": _command(service, service.pre_backup)} if service.pre_backup else {}
        line.then("pre_backup", "commands", **first, then=_command(service, service.post_backup))
    elif service.pre_backup:
        line.then("pre_backup", "command", **_command(service, service.pre_backup))
    if docker and docker.warm:
        line.then("warm", **source)
    last_before = line.last
    if docker:
        params = docker.model_dump(exclude={"container", "containers", "warm"}, exclude_none=True)
        line.then("stop", "containers", names=list(docker.names), **params)
    fed = [last_before] if docker and docker.warm else []
    line.then("collect", after=fed, **source)
    if docker:
        line.release("start", "stop", "collect")
    if service.post_backup:
        line.release("post_backup", "pre_backup", "start" if docker else "collect")


def _source(config: Config, service: Service) -> dict[str, Any]:
    """Say what is read."""
    source = {"path": service.path, "exclude": list(service.exclude)}
    own = _own_folders(config, service)
    return source | ({"never": own} if own else {})


def _preflight(config: Config, service: Service) -> dict[str, Any]:
    """Say what must be there before anything is stopped."""
    docker = service.docker
    params: dict[str, Any] = {"path": service.path}
    if docker:
        params["containers"] = list(docker.names)
        params |= {"host": docker.host} if docker.host else {}
    return params | {"max_size": config.spool.max_size, "min_free": config.spool.min_free}


def _command(service: Service, command: Command) -> dict[str, Any]:
    """Give a command's parameters, its secrets as references."""
    params = command.model_dump(mode="json", exclude_defaults=True)
    params["timeout"] = command.timeout
    if (folder := service.working_dir_of(command)) is not None:
        params["working_dir"] = folder
    if command.container and service.docker and service.docker.host:
        params["host"] = service.docker.host
    return params


def _own_folders(config: Config, service: Service) -> list[str]:
    """Give the folders inside a service's path that a backup must never hold: packrat's own."""
    own = [d.path for d in config.destinations().values() if isinstance(d, Local)]
    own += [config.state_dir, config.spool_path]
    inside = os.path.realpath(service.path)
    real = {os.path.realpath(path) for path in own}
    return sorted(path for path in real if os.path.commonpath([path, inside]) == inside)
