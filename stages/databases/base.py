"""Database that is dumped by a program of its own container, and loaded by another one."""

from __future__ import annotations

import time
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, BinaryIO, ClassVar

from msgspec import Struct
from pydantic import BaseModel, ConfigDict

from stages.errors import NotReady, SourceError
from stages.service.docker import DockerEngine
from stages.service.exec import ContainerProgram

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from stages.facts import CommandLog

BLOCK_BYTES = 1 << 20
MOST_NAMES = 10_000
"""Most databases of one server: a service's own user controls what is listed."""
PRINTED_BYTES = 8 << 20
"""Most output that is kept in memory."""
START_SECONDS = 120.0
"""Time that a server may take to answer after its start, for example to recover from a crash."""
ASK_SECONDS = 1.0
FILE_NAME_BYTES = 255
LONGEST_SUFFIX = ".dump.new"
"""Of the file of a dump; `.new` while `set_aside` writes it."""

Settings = dict[str, str]


class Tools(Struct, frozen=True):
    """Parts of the run that a dump or a load uses."""

    secret: Callable[[Any], str]
    """Resolves the reference to a secret."""
    log: CommandLog
    check: Callable[[], None]
    """Called several times a second; what it raises ends the program."""


class Database(BaseModel):
    """Server or file whose databases are dumped, each to a file of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    label: str
    """Name of its folder in a backup."""

    @property
    def where(self) -> str:
        """Description of the server or file, for messages."""
        raise NotImplementedError

    def require_ready(self) -> None:
        """Raise SourceError if a dump would fail at once, before anything else is done."""
        raise NotImplementedError

    def files(self, tools: Tools) -> list[str]:
        """Return the names of the files that a dump consists of; raises SourceError."""
        raise NotImplementedError

    def dump(self, file: str, tools: Tools) -> Iterator[bytes]:
        """Yield the content of one file of the dump; raises SourceError unless it is whole."""
        raise NotImplementedError

    @classmethod
    def has_proof(cls, file: str) -> bool:  # noqa: ARG003 (for overriding)
        """Return whether a program of the engine can read a stored file without loading it."""
        return False

    @classmethod
    def prove(cls, file: str, pieces: Iterator[bytes], check: Callable[[], None]) -> None:
        """Let that program read a stored file; raises UnsoundDump and NotProven."""
        raise NotImplementedError

    def loads_late(self, file: str) -> bool:  # noqa: ARG002 (for overriding)
        """Return whether a file is loaded after the others, which it relies on."""
        return False

    def settings(self, tools: Tools) -> Settings:  # noqa: ARG002 (for overriding)
        """Return what a load must know of the server while it runs; raises SourceError."""
        return {}

    def load(self, file: str, data: BinaryIO, tools: Tools, settings: Settings) -> None:
        """Replace a present database by one file of a dump; raises SourceError."""
        raise NotImplementedError


class Server(Database):
    """Server in a container."""

    title: ClassVar[str]
    script: ClassVar[str] = ""
    """Shell lines before each program: they read the credentials of the container's environment."""
    password_variable: ClassVar[str] = ""
    """Variable from which the engine's programs read the password."""
    user_variable: ClassVar[str] = ""
    loads_when_stopped: ClassVar[bool] = False
    """It reads a dump only when it starts."""
    data_folders: ClassVar[tuple[str, ...]] = ()
    """Folders in its container in which such a server has its data."""

    container: str
    host: str | None = None
    """Address of the Docker engine."""
    user: str | None = None
    """User of the database; by default as the container's environment says."""
    password: Any = None
    """Reference to a secret; by default as the container's environment says."""

    @property
    def where(self) -> str:
        """Its engine and container."""
        return f"{self.title} in {self.container}"

    def data_folder(self, patience: float) -> tuple[str, ...]:
        """Return the folders of this machine that hold its data; raises SourceError."""
        found = DockerEngine(self.host, patience).inspect(self.container)
        return tuple(
            one.source
            for one in found.mounts
            if one.source and any(map(PurePath(one.destination).is_relative_to, self.data_folders))
        )

    def require_ready(self) -> None:
        """Raise NotReady if its container does not run."""
        if not DockerEngine(self.host).inspect(self.container).running:
            raise NotReady(
                f"cannot dump or load {self.where}: container {self.container} is not running",
                f"start it: docker start {self.container}",
            )

    def wait_until_ready(self, tools: Tools) -> None:
        """Wait until it answers, which takes a while after a crash; raises SourceError."""
        limit = time.monotonic() + START_SECONDS
        while True:
            self.require_ready()
            try:
                self.files(tools)
            except NotReady:
                raise
            except SourceError:
                if time.monotonic() > limit:
                    raise
            else:
                return
            tools.check()
            time.sleep(ASK_SECONDS)

    def program(
        self,
        what: str,
        script: str,
        arguments: Iterable[str],
        tools: Tools,
        data: BinaryIO | None = None,
    ) -> Iterator[bytes]:
        """Run a script in the container and yield what it prints; raises SourceError."""
        environment = {}
        if self.user is not None:
            environment[self.user_variable] = self.user
        if self.password is not None:
            environment[self.password_variable] = tools.secret(self.password)
        engine, content = DockerEngine(self.host), blocks(data) if data else None
        program = ContainerProgram(engine, self.container, f"{what} of {self.where}", tools.log)
        return program.run(self.script + script, arguments, environment, tools.check, content)

    def printed(self, what: str, script: str, tools: Tools) -> bytes:
        """Run a script that prints little, and return that; raises SourceError."""
        found = bytearray()
        for piece in self.program(what, script, (), tools):
            found += piece
            if len(found) > PRINTED_BYTES:
                raise SourceError(
                    f"{what} of {self.where} has more than {PRINTED_BYTES >> 20} MiB",
                    f"look at what container {self.container} is running",
                )
        return bytes(found)

    def names(self, script: str, tools: Tools) -> list[str]:
        """Return names of databases, which a script prints as lines of hexadecimal digits."""
        lines = self.printed("the list of databases", script, tools).split()
        if len(lines) > MOST_NAMES:
            raise SourceError(f"{self.where} lists {len(lines):,} databases", "name those to dump")
        try:
            names = sorted({bytes.fromhex(line.decode()).decode() for line in lines})
        except ValueError:
            raise SourceError(
                f"{self.where} has a database whose name is not UTF-8",
                "name the databases to dump: databases: [...]",
            ) from None
        for name in names:
            if "\0" in name or len(file_of(name, LONGEST_SUFFIX).encode()) > FILE_NAME_BYTES:
                raise SourceError(
                    f"{self.where} lists a database whose name no file can have: {name[:40]!r}",
                    "name the databases to dump: databases: [...]",
                )
        return names


def blocks(data: BinaryIO) -> Iterator[bytes]:
    """Yield the content of an open file; raises OSError."""
    while block := data.read(BLOCK_BYTES):
        yield block


def file_of(name: str, suffix: str) -> str:
    """Return the name of the file for a database."""
    return name.replace("%", "%25").replace("/", "%2F") + suffix


def name_of(file: str, suffix: str) -> str:
    """Reverse `file_of`."""
    return file.removesuffix(suffix).replace("%2F", "/").replace("%25", "%")


def from_environment(variable: str, *names: str) -> str:
    """Return shell lines that set a variable from the first of several that is set.

    Each may also be `NAME_FILE`, the path of a file with the value, as official images have it.
    """
    lines = ""
    for name in names:
        lines += (
            f'if [ -z "${{{variable}:-}}" ]; then {variable}="${{{name}:-}}"; fi\n'
            f'if [ -z "${variable}" ] && [ -n "${{{name}_FILE:-}}" ]; then'
            f' {variable}="$(cat "${name}_FILE")"; fi\n'
        )
    return f"{lines}export {variable}\n"
