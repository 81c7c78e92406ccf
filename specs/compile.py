"""Compile a service of the configuration to its pipeline spec."""

import os
from typing import Any

from specs.config import Config
from specs.destinations import Local
from specs.pipeline import Pipeline
from specs.service import Command, Service


def compile_service(config: Config, name: str, *, full: bool = False) -> Pipeline:
    """Give the pipeline of one service: self-contained, plain data.

    Raises:
        KeyError: There is no such service.
    """
    service = config.services[name]
    destinations = config.destinations_of(service)
    stages: dict[str, dict[str, Any]] = {"survey": {"kind": "survey"}}
    keep = config.retention_of(service)
    stages["survey"]["keep"] = keep
    if full or not service.incremental:
        stages["survey"]["incremental"] = False
    last = "survey"

    def then(stage: str, **params: Any) -> None:
        nonlocal last
        stages[stage] = {**params, "after": [last]}
        last = stage

    if service.pre_backup:
        then("pre_backup", kind="command", **_command(service, service.pre_backup))
    if service.docker:
        docker = service.docker.model_dump(exclude={"container", "containers"}, exclude_none=True)
        then("stop", kind="containers", names=list(service.docker.names), **docker)
    then("collect", kind="collect", path=service.path, exclude=list(service.exclude))
    if own := _own_folders(config, service):
        stages["collect"]["never"] = own
    if service.docker:
        stages["start"] = {"releases": "stop", "after": ["collect"]}
    if service.post_backup:
        after = "start" if service.docker else "collect"
        command = _command(service, service.post_backup)
        stages["post_backup"] = {"kind": "command", **command, "after": [after]}
    for stage in ("chunk", "pack", "compress", "encrypt"):
        then(stage, kind=stage)
    then("spool", kind="spool", max_size=config.spool.max_size, min_free=config.spool.min_free)
    for destination in destinations:
        last = "spool"
        then(f"catch_up:{destination}", kind="catch_up", destination=destination, keep=keep)
        then(f"upload:{destination}", kind="upload", destination=destination)
        then(f"confirm:{destination}", kind="confirm", destination=destination)
        if config.backup.confirm == "full":
            stages[last]["full"] = True
        then(f"prune:{destination}", kind="prune", destination=destination, keep=keep)
    return Pipeline(
        pipeline=1,
        service=name,
        host=config.host,
        key_file=config.encryption.key_file,
        state_dir=config.state_dir,
        spool=config.spool_path,
        destinations=destinations,
        stages=stages,
    )


def _command(service: Service, command: Command) -> dict[str, Any]:
    """Give a command's parameters, its secrets as references."""
    params = command.model_dump(mode="json", exclude_defaults=True)
    params["timeout"] = command.timeout
    if (folder := service.working_dir_of(command)) is not None:
        params["working_dir"] = folder
    return params


def _own_folders(config: Config, service: Service) -> list[str]:
    """Give the folders inside a service's path that a backup must never hold: packrat's own."""
    own = [d.path for d in config.destinations().values() if isinstance(d, Local)]
    own += [config.state_dir, config.spool_path]
    inside = os.path.realpath(service.path)
    real = {os.path.realpath(path) for path in own}
    return sorted(path for path in real if os.path.commonpath([path, inside]) == inside)
