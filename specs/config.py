"""Model of the whole configuration, which `packrat schema` describes."""

import os
import re
import socket
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BeforeValidator, Field, WithJsonSchema

from specs.backup import Backup, Destination
from specs.secret import Password
from specs.section import Section
from specs.service import Service
from specs.values import LocalPath, Name, Schedule, Size, refusal
from vault.catalog.rules import ALL

Outcome = Literal["failure", "partial", "overdue", "recovery", "success", "unprotected"]
_OUTCOME = {"enum": list(get_args(Outcome))}
_RESULTS = {"done": "success", "failed": "failure"}  # the words of `--json`


def check_timezone(text: str) -> str:
    """Accept the name of a time zone.

    Raises:
        PydanticCustomError: This machine has no such time zone.
    """
    from zoneinfo import ZoneInfo

    try:
        ZoneInfo(text)
    except (OSError, LookupError, ValueError):
        raise refusal("not a time zone", "write for example Europe/Berlin or UTC") from None
    return text


def check_listen(text: str) -> str:
    """Accept an address and a port.

    Raises:
        PydanticCustomError: The address or the port is missing or invalid.
    """
    match = re.fullmatch(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):([0-9]{1,5})", text)
    if not match or not 0 < int(match[2]) < 1 << 16:
        raise refusal("not an address and a port", 'write for example "127.0.0.1:9180"')
    return text


def _outcomes(value: Any) -> Any:
    """Accept one outcome or several, also in the words of `--json`."""
    words = [value] if isinstance(value, str) else value
    return (
        [_RESULTS.get(w, w) if isinstance(w, str) else w for w in words]
        if (isinstance(words, list | tuple))
        else words
    )


def default_state_dir() -> str:
    """Return the default of `state_dir`."""
    given = os.environ.get("PACKRAT_STATE_DIR")
    return given or ("/var/lib/packrat" if os.geteuid() == 0 else "~/.local/state/packrat")


class Encryption(Section):
    """Key that seals every archive."""

    key_file: LocalPath = Field("~/.config/packrat/key", validate_default=True)
    """File with the derived key, created by `packrat init`."""


class Spool(Section):
    """Disk space for sealed archives until every destination has them."""

    path: LocalPath | None = None
    """The folder, by default `spool` in the state folder."""
    max_size: Size = 8 << 30
    """Maximum size of the waiting archives, in bytes."""
    min_free: Size = 1 << 30
    """Bytes of the disk that are always kept free."""


class Notify(Section):
    """Recipients of messages about runs."""

    urls: tuple[Password, ...] = ()
    """URLs of notification services, as Apprise defines them."""
    on: Annotated[
        tuple[Outcome, ...],
        BeforeValidator(_outcomes),
        WithJsonSchema({"anyOf": [_OUTCOME, {"type": "array", "items": _OUTCOME}]}),
    ] = ("failure", "partial", "overdue", "recovery")
    """Outcomes that send a message: failure, partial, overdue, recovery, success; or unprotected:
    a container that keeps data without a backup appears."""


class Containers(Section):
    """Containers of this machine that `packrat discover` finds."""

    labels: bool = False
    """Back up containers whose labels say so: packrat.enable, schedule, exclude and retain."""
    ignore: tuple[str, ...] = ()
    """Compose projects, containers, volumes and folders that need no backup."""


class Verify(Section):
    """Regular verification of the stored backups."""

    schedule: Schedule = "@weekly"
    """Schedule of the daemon's verification."""
    deep_percent: float = Field(5, ge=0, le=100)
    """Percentage of the stored bytes that is read in full each time."""


class Config(Section):
    """A packrat configuration."""

    services: dict[Name, Service] = Field(
        min_length=1, examples=["{documents: {path: /home/me/documents}}"]
    )
    """Services to back up, by name."""
    backup: Backup = Field(examples=["{local: {path: /mnt/backup}}"])
    """Destinations of the backups."""
    encryption: Encryption = Field(default_factory=Encryption)
    """Encryption of the backups."""
    host: str = Field(default_factory=socket.gethostname, min_length=1)
    """The name of this machine in its archives."""
    state_dir: LocalPath = Field(default_factory=default_state_dir, validate_default=True)
    """Folder of journal, cache and history; see also $PACKRAT_STATE_DIR."""
    spool: Spool = Field(default_factory=Spool)
    """Folder in which sealed archives wait for their destinations."""
    catch_up: bool = True
    """Run a missed backup once when the machine is up again."""
    timezone: Annotated[str, AfterValidator(check_timezone)] | None = None
    """The time zone of every schedule, by default the machine's."""
    max_parallel: int = Field(1, ge=1, le=64)
    """Number of services that the daemon backs up at the same time."""
    notify: Notify = Field(default_factory=Notify)
    """Messages about runs."""
    ping: Password | None = None
    """URL of a dead man's switch: called after good runs, and with /start and /fail appended."""
    listen: Annotated[str, AfterValidator(check_listen)] | None = None
    """The address and port where the daemon serves health and metrics."""
    verify: Verify = Field(default_factory=Verify)
    """Verification of the backups."""
    docker: Containers = Field(default_factory=Containers)
    """Containers of this machine."""

    @property
    def spool_path(self) -> str:
        """The spool's folder."""
        return self.spool.path or os.path.join(self.state_dir, "spool")

    def shown_words(self) -> list[str]:
        """Return words that messages show even if they equal a secret."""
        read = [
            name
            for one in self.services.values()
            for name in (*one.folders, *one.volumes, one.compose or "")
        ]
        return [*self.services, *self.destinations(), *filter(None, read)]

    def destinations(self) -> dict[str, Destination]:
        """Return every destination by name: local, synology, s3, then the others as written."""
        backup = self.backup
        fixed = {"local": backup.local, "synology": backup.synology, "s3": backup.s3}
        return {name: one for name, one in fixed.items() if one} | backup.destinations

    def destinations_of(self, service: Service) -> dict[str, Destination]:
        """Return the destinations of a service by name.

        Raises:
            KeyError: It names an unknown destination; a loaded configuration never does.
        """
        named = self.destinations()
        return (
            named if service.destinations is None else {n: named[n] for n in service.destinations}
        )

    def retention_of(self, service: Service, destination: str) -> int | dict[str, Any]:
        """Return what a destination keeps of a service, as the parameter `keep` of stages.

        The rules of the destination count before those of the service, and those before the general
        ones; they are never merged.
        """
        if not service.prune:
            return ALL
        retain = self.destinations()[destination].retain or service.retain
        if not retain and service.retain_backups is None:
            retain = self.backup.retain
        if retain:
            return retain.keep(self.timezone)
        return service.retain_backups or self.backup.retain_backups

    def roots(self) -> dict[str, str | None]:
        """Return the root of each destination, None if only its open store knows it."""
        return {name: one.root for name, one in self.destinations().items()}

    def keep_replaced_of(self, service: Service) -> int:
        """Return the least time for which replaced folders of a service are kept, in seconds."""
        own = service.keep_replaced
        return self.backup.keep_replaced if own is None else own

    def catches_up(self, service: Service) -> bool:
        """Return whether a missed backup of a service runs later."""
        return self.catch_up if service.catch_up is None else service.catch_up
