"""A service: its folder, the containers that use it, the commands around a backup."""

import os
import re
from typing import Annotated, Any, Self

from pydantic import (
    AfterValidator,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    model_validator,
)

from specs.destinations import Section
from specs.secret import Secret
from specs.values import Duration, LocalPath, Name, Pattern, Schedule, Wait, refusal


def check_container(text: str) -> str:
    """Accept the name or the id of a container.

    Raises:
        PydanticCustomError: Docker would not.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text):
        raise refusal("not a container's name", "write it as `docker ps` shows it")
    return text


def check_variable(text: str) -> str:
    """Accept the name of an environment variable.

    Raises:
        PydanticCustomError: A shell would not.
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


Container = Annotated[str, AfterValidator(check_container), Field(examples=["gitea"])]
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
    """Or several: stopped in this order, started in reverse."""
    host: str | None = Field(None, examples=["unix:///var/run/docker.sock"])
    """The engine's address; by default what `docker` itself would use."""
    stop_timeout: Duration = 30
    """Seconds for a container to stop before it is killed."""
    health_timeout: Wait = 120
    """Seconds for a container to become healthy after the start."""
    warm: bool = True
    """Read the bulk before the stop, and after it only what changed."""
    max_downtime: Wait | None = None
    """Most seconds that they are stopped; after that they start, and the run has failed."""

    @property
    def names(self) -> tuple[str, ...]:
        """The containers, in the order they are stopped."""
        return (self.container,) if self.container else self.containers

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if bool(self.container) == bool(self.containers):
            raise refusal("needs one of container and containers", "write container: NAME")
        return self


class Command(Section):
    """A command that runs before or after; it must succeed in time."""

    command: str = Field(min_length=1, examples=["pg_dumpall -U postgres > dump.sql"])
    """Script for bash. Packrat substitutes nothing in it: ${NAME} is the shell's."""
    working_dir: str | None = None
    """Working folder, by default the service's path; a relative one is inside that."""
    environment: dict[Variable, Secret] = Field(default_factory=dict)
    """Variables besides PATH, HOME and the like. Their values are secrets."""
    timeout: Wait = 3600
    """Seconds until it is killed and has failed."""
    user: User | None = None
    """The user it runs as, by default packrat's or the container's: a name, a uid, NAME:GROUP."""
    container: Container | None = None
    """The running container to run it in, by default on this machine."""


class AddedStage(Section):
    """A stage of another package, put into the pipeline; other keys are its parameters."""

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

    path: LocalPath
    """The folder to back up."""
    schedule: Schedule | None = None
    """When the daemon backs it up; without one only by hand."""
    docker: Docker | None = None
    """The containers to stop meanwhile."""
    pre_backup: Command | None = None
    """Runs before anything is read, for example a dump; if it fails, so does the backup."""
    post_backup: Command | None = None
    """Runs at the end whenever pre_backup began, also when the backup failed."""
    post_restore: Command | None = None
    """Runs after a restore in place, for example to load a dump."""
    stages: tuple[AddedStage, ...] = ()
    """Stages of other packages, each put after or before one of packrat's own."""
    exclude: tuple[Pattern, ...] = ()
    """Excluded paths, as in a .gitignore at the top of the path."""
    retain_backups: int | None = Field(None, ge=1)
    """Number of backups that each destination keeps; by default as in `backup`."""
    destinations: tuple[Name, ...] | None = Field(None, min_length=1)
    """The names of the destinations it goes to, by default all."""
    incremental: bool = True
    """Store only what the destinations do not have yet; false makes every archive whole."""
    catch_up: bool | None = None
    """Run a backup that was missed while the machine slept; by default as for all services."""
    timeout: Wait | None = None
    """Most seconds of a whole run."""
    max_age: Wait | None = None
    """Age of the newest backup, in seconds, from which the service is overdue."""

    def working_dir_of(self, command: Command) -> str | None:
        """Return where a command runs; None is wherever its container's processes start."""
        if command.container:
            return command.working_dir
        return os.path.join(self.path, os.path.expanduser(command.working_dir or "")).rstrip("/")
