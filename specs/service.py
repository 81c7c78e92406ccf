"""Model of a service: its folder, its containers, and the commands around a backup."""

import os
import re
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from specs.databases import DatabaseEntry, parameters
from specs.retain import Retain
from specs.secret import Secret
from specs.section import Section
from specs.values import Container, Duration, LocalPath, Name, Pattern, Schedule, Wait, refusal

if TYPE_CHECKING:
    from stages.reads import Reads


def check_volume(text: str) -> str:
    """Accept the name of a volume.

    Raises:
        PydanticCustomError: Docker would refuse it.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text):
        hint = "write it as `docker volume ls` shows it; a folder goes to paths:"
        raise refusal("not a volume's name", hint)
    return text


def check_project(text: str) -> str:
    """Accept the name of a Compose project.

    Raises:
        PydanticCustomError: Docker Compose would refuse it.
    """
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", text):
        raise refusal("not a Compose project's name", "write it as `docker compose ls` shows it")
    return text


def check_variable(text: str) -> str:
    """Accept the name of an environment variable.

    Raises:
        PydanticCustomError: A shell would refuse it.
    """
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", text):
        raise refusal("not a variable's name", "use letters, digits and '_', such as PGPASSWORD")
    return text


def check_user(value: Any) -> str:
    """Accept a user as Docker does: a name or a uid, either with :GROUP.

    Raises:
        PydanticCustomError: It is neither.
    """
    text = "" if isinstance(value, bool) else str(value)
    name = r"(?:[a-z_][a-z0-9_.-]*[$]?|[0-9]{1,10})"
    if not re.fullmatch(f"{name}(?::{name})?", text, re.IGNORECASE):
        raise refusal("not a user", "write a name, a uid, or NAME:GROUP, such as postgres")
    return text


Volume = Annotated[str, AfterValidator(check_volume), Field(examples=["pgdata"])]
Project = Annotated[str, AfterValidator(check_project), Field(examples=["immich"])]
Variable = Annotated[str, AfterValidator(check_variable)]
User = Annotated[
    str,
    BeforeValidator(check_user),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["postgres", "1000:1000"]}),
]


class Docker(Section):
    """Containers that are stopped while the service's files are read."""

    container: Container | None = None
    """The one container to stop and start."""
    containers: tuple[Container, ...] = ()
    """Several containers, stopped in this order and started in reverse order."""
    host: str | None = Field(None, examples=["unix:///var/run/docker.sock"])
    """Address of the Docker engine; by default the one that `docker` uses."""
    stop_timeout: Duration = 30
    """Seconds for a container to stop before it is killed."""
    health_timeout: Wait = 120
    """Seconds for a container to become healthy after the start."""
    warm: bool = True
    """Read all files before the stop, and only the changed ones again after it."""
    max_downtime: Wait | None = None
    """Maximum downtime in seconds; after that they are started, and the run fails."""

    @property
    def names(self) -> tuple[str, ...]:
        """The containers, in the order they are stopped."""
        return (self.container,) if self.container else self.containers

    @model_validator(mode="after")
    def _one_at_most(self) -> Self:
        if self.container and self.containers:
            raise refusal("needs one of container and containers", "write container: NAME")
        return self


class Command(Section):
    """A command around a backup or after a restore; it must succeed in time."""

    command: str = Field(min_length=1, examples=["pg_dumpall -U postgres > dump.sql"])
    """Script for bash. Packrat substitutes nothing in it: ${NAME} is the shell's."""
    working_dir: str | None = None
    """Working folder; by default the service's path, where a relative one starts. With `container`,
    an absolute one in it, by default its own."""
    environment: dict[Variable, Secret] = Field(default_factory=dict)
    """Environment variables besides PATH, HOME and similar ones. Their values are secrets."""
    timeout: Wait = 3600
    """Seconds until it is killed, which counts as a failure."""
    user: User | None = None
    """The user it runs as, by default packrat's or the container's: a name, a uid, NAME:GROUP."""
    container: Container | None = None
    """The running container to run it in, by default on this machine."""

    @model_validator(mode="after")
    def _absolute_in_a_container(self) -> Self:
        if self.container and self.working_dir and not self.working_dir.startswith("/"):
            raise refusal(
                f"working_dir {self.working_dir!r} is relative, but container {self.container}"
                " has no folder of the service",
                "write a path of the container, such as /tmp, or leave it out",
            )
        return self


class AddedStage(Section):
    """A stage of another package, inserted into the pipeline; other keys are its parameters."""

    model_config = ConfigDict(extra="allow")

    kind: str = Field(min_length=1, examples=["tripwire"])
    """The kind, as the package names it."""
    after: str | None = None
    """The stage that it comes after, such as `gather`; `packrat plan` shows their names."""
    before: str | None = None
    """Or the stage that it comes before."""

    @property
    def anchor(self) -> str:
        """The stage that it comes after, or before."""
        return self.after or self.before or ""

    @property
    def params(self) -> dict[str, Any]:
        """The parameters of the stage."""
        return dict(self.model_extra or {})

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if bool(self.after) == bool(self.before):
            raise refusal("needs one of after and before", "write after: gather")
        return self


class Service(Section):
    """One thing to back up, with archives of its own."""

    path: LocalPath | None = None
    """The folder to back up."""
    paths: tuple[LocalPath, ...] = ()
    """Folders to back up, each under its last name; all at the same moment."""
    volumes: tuple[Volume, ...] = ()
    """Volumes of containers to back up, by name."""
    compose: Project | None = None
    """Compose project: its containers, and the volumes and folders that they write to."""
    databases: tuple[DatabaseEntry, ...] = ()
    """Databases to dump, which keep running."""
    schedule: Schedule | None = None
    """Schedule of the daemon's backups; without one, backups are made by hand only."""
    docker: Docker | None = None
    """Containers to stop during the backup."""
    pre_backup: Command | None = None
    """Command to run before anything is read, for example a dump; its failure fails the backup."""
    post_backup: Command | None = None
    """Command to run at the end whenever pre_backup has begun, also after a failed backup."""
    post_restore: Command | None = None
    """Command to run after a restore in place, for example to load a dump."""
    stages: tuple[AddedStage, ...] = ()
    """Stages of other packages, each inserted after or before another stage."""
    exclude: tuple[Pattern, ...] = ()
    """Excluded paths, as in a .gitignore at the top of each folder."""
    one_file_system: bool = False
    """Leave out other filesystems that are mounted inside the folders."""
    retain_backups: int | None = Field(None, ge=1)
    """Number of backups that each destination keeps; by default as in `backup`."""
    retain: Retain | None = None
    """Or the rules by which they are kept; by default as in `backup`."""
    keep_replaced: Duration | None = None
    """Least time, in seconds, for which what an in-place restore replaced is kept; by default as
    in `backup`."""
    prune: bool = True
    """False keeps every backup, whatever the rules say."""
    destinations: tuple[Name, ...] | None = Field(None, min_length=1)
    """Names of its destinations; by default all."""
    incremental: bool = True
    """Store only what the destinations do not have yet; false makes every archive full."""
    catch_up: bool | None = None
    """Run a missed backup once when the machine is up again; by default as for all services."""
    timeout: Wait | None = None
    """Maximum duration of a run, in seconds."""
    max_age: Wait | None = None
    """Age of the newest backup, in seconds, from which the service is overdue; by default twice the
    longest gap of the schedule, and at least an hour."""

    def working_dir_of(self, command: Command) -> str | None:
        """Return the working folder of a command; None is the default of its container."""
        if command.container:
            return command.working_dir
        start = next(iter(self.folders), "/")
        return os.path.join(start, os.path.expanduser(command.working_dir or "")).rstrip("/") or "/"

    @property
    def folders(self) -> tuple[str, ...]:
        """The folders that it names, in the order of the file."""
        return tuple(folder for _, folder in self.keyed_folders)

    @property
    def keyed_folders(self) -> list[tuple[str, str]]:
        """The folders that it names, each with its key."""
        more = [(f"paths[{at}]", folder) for at, folder in enumerate(self.paths)]
        return [*([("path", self.path)] if self.path else []), *more]

    @property
    def reads(self) -> "Reads":
        """Folders, volumes and databases that it reads, as parameters of its stages."""
        from stages.reads import Reads

        return Reads(
            path=self.path,
            paths=self.paths,
            volumes=self.volumes,
            compose=self.compose,
            host=self.docker.host if self.docker else None,
            databases=self.database_parameters,
            exclude=self.exclude,
            one_file_system=self.one_file_system,
        )

    @property
    def database_parameters(self) -> list[dict[str, Any]]:
        """Parameters of the stages that dump or load its databases."""
        return parameters(self.databases, self.docker.host if self.docker else None)

    def dumped(self, *, back: bool = False) -> list[str]:
        """Return the containers of its databases, which keep running.

        With `back`, in a restore in place: a few servers load a dump only when they start.
        """
        servers = [one for one in self.databases if one.container]
        return [one.container for one in servers if not (back and one.stops)]

    def stopped_names(self, *, back: bool = False) -> list[str]:
        """Return the containers to stop by name, besides those of a Compose project."""
        names = [*(self.docker.names if self.docker else ())]
        names += [one.container for one in self.databases if back and one.stops]
        running = self.dumped(back=back)
        return [name for name in dict.fromkeys(names) if name not in running]

    @property
    def stopped(self) -> list[str]:
        """The containers that a restore in place stops, for people."""
        project = [f"Compose project {self.compose}"] if self.compose else []
        return [*self.stopped_names(back=True), *project]
