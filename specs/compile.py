"""Compiler from the services of a configuration to pipeline documents, for each job."""

import os
from collections.abc import Collection, Sequence
from pathlib import PurePath
from typing import Any

from engine.graph import Graph, Node
from specs.config import Config
from specs.destinations.local import Local
from specs.insertion import insert
from specs.pipeline import Pipeline
from specs.service import Command, Docker, Service
from stages.facts import Present
from stages.given import GIVEN
from stages.kinds import BUILT_IN
from stages.locate import Locate
from stages.reads import Reads
from stages.select import Select
from vault.catalog.prover import Depth


def compile_service(
    config: Config, name: str, *, full: bool = False, back: bool = False
) -> Pipeline:
    """Compile one service to a self-contained pipeline document.

    With `full`, the archive refers to no other archive. With `back`, the document is for a restore
    in place: servers that load a dump only when they start are stopped.

    Raises:
        KeyError: There is no such service.
    """
    service = config.services[name]
    destinations = config.destinations_of(service)
    keep = {name: config.retention_of(service, name) for name in destinations}
    usual = next(iter(keep.values()), 1)
    line = _Line()
    whole: dict[str, Any] = {} if service.incremental and not full else {"incremental": False}
    line.then("preflight", **_preflight(config, service))
    line.then("survey")
    if unusual := {name: rules for name, rules in keep.items() if rules != usual}:
        whole["keep_at"] = unusual
    line.then("base", keep=usual, **whole)
    _read(line, config, service, back=back)
    for stage in ("gather", "chunk", "pack", "compress", "encrypt", "spool"):
        line.then(stage)
    for destination in destinations:
        line.last = "spool"
        proof = {"full": True} if config.backup.confirm == "full" else {}
        branch: dict[str, dict[str, Any]] = {
            "catch_up": {"keep": keep[destination]},
            "upload": {},
            "confirm": proof,
            "prune": {"keep": keep[destination]},
        }
        for stage, params in branch.items():
            line.then(f"{stage}:{destination}", stage, destination=destination, **params)
    # Anchors were checked when the configuration was loaded. One that is missing now belongs to a
    # destination that is left out.
    stages = insert(line.stages, service.stages).stages
    return Pipeline(
        pipeline=1,
        service=name,
        host=config.host,
        key_file=config.encryption.key_file,
        state_dir=config.state_dir,
        spool=config.spool_path,
        timeout=service.timeout,
        keep_replaced=config.keep_replaced_of(service),
        destinations=destinations,
        stages=stages,
    )


class _Line:
    """Stages in the order in which they are added, each after the last one."""

    def __init__(self) -> None:
        self.stages: dict[str, dict[str, Any]] = {}
        self.last = ""

    def then(self, name: str, kind: str = "", **params: Any) -> None:
        """Add a stage after the last one; its kind is its name unless given."""
        self._add(name, {"kind": kind or name, **params})

    def release(self, name: str, scope: str) -> None:
        """Add the stage that releases a scope, after the last one."""
        self._add(name, {"releases": scope})

    def _add(self, name: str, stage: dict[str, Any]) -> None:
        self.stages[name] = stage | ({"after": [self.last]} if self.last else {})
        self.last = name


def _read(line: _Line, config: Config, service: Service, *, back: bool) -> None:
    """Add the stages that read the source, and those that keep it unchanged meanwhile."""
    docker, stopped = service.docker or Docker(), service.stopped_names(back=back)
    line.then("source", max_size=config.spool.max_size, min_free=config.spool.min_free)
    if service.post_restore:
        # Reversed, it comes last; so here it comes before everything that it may rely on.
        line.then("post_restore", **_command(service, service.post_restore))
    if service.post_backup:
        first = {"first": _command(service, service.pre_backup)} if service.pre_backup else {}
        line.then("pre_backup", "commands", **first, then=_command(service, service.post_backup))
    elif service.pre_backup:
        line.then("pre_backup", "command", **_command(service, service.pre_backup))
    if service.databases:
        line.then("dump", databases=service.database_parameters)
    if stopped or service.compose:
        bulk: dict[str, Any] = {} if docker.warm else {"bulk": False}
        line.then("warm", **bulk)
        params = docker.model_dump(exclude={"container", "containers", "warm"}, exclude_none=True)
        names = {"names": stopped} if stopped else {}
        if service.compose and (dumped := service.dumped(back=back)):
            names["dumped"] = dumped
        project = {"compose": service.compose} if service.compose else {}
        line.then("stop", "containers", **names, **project, **params)
    line.then("collect")
    if stopped or service.compose:
        line.release("start", "stop")
    if service.post_backup:
        line.release("post_backup", "pre_backup")


def reads_of(config: Config, service: Service) -> Reads:
    """Return what a service reads, or exchanges in place."""
    return service.reads.model_copy(update={"never": tuple(_own_folders(config, service))})


def _preflight(config: Config, service: Service) -> dict[str, Any]:
    """Return the parameters of `preflight`, which checks them before anything else."""
    reads = reads_of(config, service)
    params: dict[str, Any] = {"read": reads.model_dump(mode="json", exclude_defaults=True)}
    if names := service.stopped_names():
        params["containers"] = names
    return params


def _command(service: Service, command: Command) -> dict[str, Any]:
    """Return a command's parameters, with secrets as references."""
    params = command.model_dump(mode="json", exclude_defaults=True)
    params["timeout"] = command.timeout
    if (folder := service.working_dir_of(command)) is not None:
        params["working_dir"] = folder
    if command.container and service.docker and service.docker.host:
        params["host"] = service.docker.host
    return params


def compile_restore(
    config: Config,
    name: str,
    backup: str,
    source: str,
    paths: Sequence[str] = (),
    to: str | None = None,
) -> Pipeline:
    """Compile the restore of a service: its pipeline in reverse, from one destination.

    `backup` is an archive's id, a prefix of it, or `latest`. `to` is a folder; None restores in
    place. A restore to a folder stops no container and runs no command.

    Raises:
        KeyError: There is no such service.
    """
    named = config.destinations()
    # Only this destination: it may hold backups although the service no longer uses it.
    service = config.services[name].model_copy(update={"destinations": (source,)})
    only = config.model_copy(update={"services": config.services | {name: service}})
    pipeline = compile_service(only, name, back=to is None)
    lead = [Node("select", Select(paths=tuple(paths))), Node("locate", Locate())]
    there = pipeline.graph()
    given = (*GIVEN["restore"], Present)  # `set_aside` is added below
    graph = there.reverse(_last_with_inverse(there, f"upload:{source}"), lead, given)
    stages = graph.document()
    if to is not None:
        _end_with_writing(stages, graph.downstream("gather"))
    elif service.databases:
        _load_databases(stages, name)
    for params in stages.values():
        if params.get("kind") == "containers":
            params["exchanges"] = True
        elif params.get("kind") == "collect":
            params |= {"read": pipeline.stages["preflight"]["read"]}
    others = {other: named[other] for other in config.destinations_of(config.services[name])}
    return pipeline.model_copy(
        update={
            "job": "restore",
            "timeout": None,
            "backup": backup,
            "to": to,
            "destinations": {source: named[source]} | others,
            "stages": stages,
        }
    )


def _last_with_inverse(graph: Graph, name: str) -> str:
    """Return the last stage of a branch, from `name` on, that has an inverse."""
    last = name
    while fed := graph.fed(name):
        name = fed[0].name
        last = name if fed[0].stage.inverse is not None else last
    return last


def _load_databases(stages: dict[str, dict[str, Any]], service: str) -> None:
    """Dump the present databases before anything is stopped, and load them before the start.

    Reversed, the load would come last, with the containers that use the databases running.
    """
    load = stages["dump"]
    for params in stages.values():  # what came after the load comes after what was before it
        params["after"] = [at for one in params.get("after", []) for at in _past(one, load)]
    first = next(name for name, one in stages.items() if one.get("after") == ["gather"])
    databases = load["databases"]
    stages["set_aside"] = {
        "kind": "set_aside", "service": service, "databases": databases, "after": ["gather"]
    }  # fmt: skip
    stages[first]["after"] = ["set_aside"]
    for params in stages.values():
        params["after"] = ["dump" if one == "collect" else one for one in params["after"]]
    load["after"] = ["collect"]


def _past(name: str, load: dict[str, Any]) -> list[str]:
    return load["after"] if name == "dump" else [name]


def _end_with_writing(stages: dict[str, dict[str, Any]], later: Collection[str]) -> None:
    """Remove the built-in stages after `gather`, and keep those of other packages."""
    last = "gather"
    for name in [name for name in stages if name in later]:
        if stages[name].get("kind") in BUILT_IN or "releases" in stages[name]:
            del stages[name]
        else:
            stages[name]["after"] = [last]
            last = name


def compile_prune(
    config: Config, name: str, *, dry_run: bool = False, coming: int = 0, tidy: bool = True
) -> Pipeline:
    """Compile the pruning of a service at each of its destinations; raises KeyError."""
    params: dict[str, Any] = {"dry_run": True} if dry_run else {}
    params |= {"coming": coming} if coming else {}
    return _at_each(config, name, "prune", params, {} if tidy else {"tidy": False})


def compile_verify(
    config: Config, name: str, depth: str, backup: str | None = None, source: str | None = None
) -> Pipeline:
    """Compile the verification of a service at one or each destination; raises KeyError.

    `depth` is one of `vault.catalog.prover.Depth`, `backup` the file name of the only archive. When
    everything is compared, programs of the databases read their dumps as well.
    """
    only = {"backup": backup} if backup else {}
    params: dict[str, Any] = {"depth": depth, **only}
    if source is not None:
        service = config.services[name].model_copy(update={"destinations": (source,)})
        config = config.model_copy(update={"services": config.services | {name: service}})
    pipeline = _at_each(config, name, "verify", params, {"tidy": False, "marks": False})
    if depth == Depth.CHUNKS:
        for place in pipeline.destinations:
            stage = {"kind": "prove_dumps", "destination": place, **only}
            pipeline.stages[f"prove_dumps:{place}"] = stage | {"after": [f"verify:{place}"]}
    return pipeline


def _at_each(
    config: Config, name: str, kind: str, params: dict[str, Any], survey: dict[str, Any]
) -> Pipeline:
    """Compile a job that runs one kind of stage at each destination of a service."""
    pipeline = compile_service(config, name)
    line = _Line()
    line.then("survey", **survey)
    for destination in pipeline.destinations:
        line.last = "survey"
        keep = config.retention_of(config.services[name], destination)
        line.then(f"{kind}:{destination}", kind, destination=destination, keep=keep, **params)
    return pipeline.model_copy(update={"job": kind, "timeout": None, "stages": line.stages})


def _own_folders(config: Config, service: Service) -> list[str]:
    """Return packrat's own folders inside those of a service: no backup may contain them."""
    own = [d.path for d in config.destinations().values() if isinstance(d, Local)]
    own += [config.state_dir, config.spool_path]
    tops = [os.path.realpath(folder) for folder in service.folders]
    real = {os.path.realpath(path) for path in own}
    everywhere = bool(service.volumes or service.compose)  # their folders are not known yet
    return sorted(p for p in real if everywhere or any(map(PurePath(p).is_relative_to, tops)))
