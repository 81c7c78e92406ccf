"""Docker engine: a small client whose errors are SourceError, not those of the SDK."""

from __future__ import annotations

import os
import socket
import tarfile
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, BinaryIO

from msgspec import Struct

from stages.errors import NotReady, SourceError
from stages.service.mounts import mounts_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stages.service.mounts import Mount

PATIENCE_SECONDS = 60
"""Seconds for an answer, beyond the time that the request itself takes."""
REVIVAL_SECONDS = 60.0
"""Seconds for which a start waits for an engine that is itself being restarted."""

FILE_MODE = 0o644
"""Docker gives a file that is put into a container to root: other users must be able to read it."""
BLOCK_BYTES = 1 << 20


class EngineAway(NotReady):
    """The engine does not answer."""


class NoContainer(SourceError):  # noqa: N818
    """There is no container of that name."""


class Container(Struct, frozen=True):
    """State of a container when it was looked at."""

    name: str
    """As in the configuration."""
    id: str
    running: bool
    """Also true while it is paused."""
    paused: bool
    health: str
    """`starting`, `healthy`, `unhealthy`; empty without a HEALTHCHECK."""
    health_output: str
    restarts: int
    exit_code: int
    mounts: tuple[Mount, ...]
    vanishes: bool
    """It is removed when it is stopped."""
    network: str
    """Id or name of the container whose network it uses; empty without one."""

    def shares_network_of(self, other: Container) -> bool:
        """Return whether it loses its network when the other container stops."""
        return self.network in (other.id, other.name) if self.network else False

    def require_stoppable(self) -> None:
        """Raise SourceError when a stop would be its end."""
        if self.vanishes and self.running:
            raise SourceError(
                f"container {self.name} was started with --rm: a stop would delete it",
                "start it without, such as by docker compose up -d",
            )


class DockerEngine:
    """Docker engine; connects at the first request."""

    def __init__(self, host: str | None, patience: float = PATIENCE_SECONDS) -> None:
        """`host` None is what `docker` itself uses: DOCKER_HOST, then the current context.

        For a host that begins with tcp://, DOCKER_TLS_VERIFY and DOCKER_CERT_PATH count as they do
        for `docker -H`.
        """
        self.host = host
        self._patience = patience
        self._api: Any = None

    def inspect(self, name: str) -> Container:
        """Return the state of a container; raises NoContainer, EngineAway."""
        with self._translated(f"look at container {name}", name):
            found = self._client().inspect_container(name)
        state = found["State"]
        health = state.get("Health") or {}
        log = health.get("Log") or [{}]
        return Container(
            name=name,
            id=str(found["Id"]),
            running=bool(state.get("Running") or state.get("Restarting")),
            paused=bool(state.get("Paused")),
            health=health.get("Status") or "",
            health_output=str(log[-1].get("Output", "")).strip(),
            restarts=int(found.get("RestartCount", 0)),
            exit_code=int(state.get("ExitCode", 0)),
            mounts=mounts_of(found),
            vanishes=vanishes(found),
            network=network_of(found),
        )

    def running(self) -> list[str]:
        """Return the names of all running containers; raises EngineAway."""
        with self._translated("list containers"):
            return sorted(one["Names"][0].lstrip("/") for one in self._client().containers())

    def stop(self, name: str, seconds: int) -> None:
        """Stop it, and kill it after some seconds; raises NoContainer, EngineAway."""
        with self._translated(f"stop container {name}", name):
            self._client().stop(name, timeout=seconds)

    def start(self, name: str) -> None:
        """Start it; wait for an engine that is being restarted.

        Raises NoContainer, EngineAway, SourceError.
        """
        limit = time.monotonic() + REVIVAL_SECONDS
        while True:
            try:
                with self._translated(f"start container {name}", name):
                    self._client().start(name)
            except EngineAway:
                self._api = None
                if time.monotonic() > limit:
                    raise
                time.sleep(1)
            else:
                return

    def pause(self, name: str) -> None:
        """Pause it; raises NoContainer, EngineAway, SourceError."""
        with self._translated(f"pause container {name}", name):
            self._client().pause(name)

    def begin(
        self,
        name: str,
        command: list[str],
        env: dict[str, str],
        folder: str | None,
        user: str = "",
        *,
        stdin: bool = False,
    ) -> str:
        """Prepare a command in a running container. Return its id for `output` and `status`.

        `user` is NAME or UID, or either with :GROUP, of the container; by default the container's.
        """
        with self._translated(f"run a command in container {name}", name):
            made = self._client().exec_create(
                name, command, environment=env, workdir=folder, user=user, stdin=stdin
            )
        return str(made["Id"])

    def output(self, id_: str, name: str) -> Iterator[bytes]:
        """Run a prepared command, and yield what it prints as it comes."""
        with self._translated(f"run a command in container {name}", name):
            yield from self._client().exec_start(id_, stream=True)

    def put_file(self, name: str, folder: str, file: str, data: BinaryIO) -> None:
        """Write an open file into a folder of a container, also of a stopped one.

        Raises NoContainer, EngineAway, SourceError.
        """
        with self._translated(f"write to {folder} of container {name}", name):
            self._client().put_archive(name, folder, _tar(file, data))

    def detach(self, id_: str, name: str) -> None:
        """Run a prepared command without waiting for it; raises NoContainer, EngineAway."""
        with self._translated(f"run a command in container {name}", name):
            self._client().exec_start(id_, detach=True)

    def attach(self, id_: str, name: str) -> Any:
        """Run a prepared command; return the connection that carries its input and output.

        It has `recv`, `sendall`, `settimeout` and `close`.
        """
        with self._translated(f"run a command in container {name}", name):
            raw = self._client().exec_start(id_, socket=True)
        if not isinstance(raw, socket.SocketIO):
            return raw  # through TLS or ssh
        with raw:
            return socket.socket(fileno=os.dup(raw.fileno()))

    def status(self, id_: str, name: str) -> int | None:
        """Return a command's exit status, None while it runs."""
        with self._translated(f"look at a command in container {name}", name):
            code = self._client().exec_inspect(id_)["ExitCode"]
        return None if code is None else int(code)

    def commands(self, name: str) -> list[str]:
        """Return the command lines of all processes in a container.

        Raises NoContainer, EngineAway, and SourceError also if the engine's machine has no ps.
        """
        with self._translated(f"list the processes of container {name}", name):
            rows = self._client().top(name, ps_args="-eo pid,args")["Processes"]
        return [str(row[-1]) for row in rows or ()]

    @contextmanager
    def api(self, action: str, name: str = "") -> Iterator[Any]:
        """Yield the SDK's client; raises EngineAway, SourceError, and NoContainer with a `name`."""
        with self._translated(action, name):
            yield self._client()

    @property
    def where(self) -> str:
        """The engine's address, for people."""
        return self.host or os.environ.get("DOCKER_HOST") or "its default address"

    def _client(self) -> Any:
        if self._api is None:
            import docker

            environment = dict(os.environ)
            if self.host:
                here = {"DOCKER_HOST": self.host}
                environment = environment | here if self.host.startswith("tcp://") else here
            # For ssh:// the user's own client, with its keys and its known hosts.
            self._api = docker.from_env(
                timeout=self._patience, use_ssh_client=True, environment=environment
            ).api
        return self._api

    @contextmanager
    def _translated(self, action: str, name: str = "") -> Iterator[None]:
        """Turn an error of the SDK into one of ours."""
        from docker import errors
        from requests import exceptions as requests

        try:
            yield
        except errors.NotFound as error:
            if "No such container" not in str(error.explanation):
                raise self._refusal(action, error) from error
            raise NoContainer(
                f"there is no container {name}", "docker ps --all shows those there are"
            ) from error
        except errors.APIError as error:
            raise self._refusal(action, error) from error
        except (errors.DockerException, requests.RequestException, OSError) as error:
            self._api = None
            raise EngineAway(
                f"cannot {action}: the Docker engine at {self.where} does not answer"
                f" ({_innermost(error)})",
                "is it running, and may packrat's user use it? See docker.host, DOCKER_HOST",
            ) from error

    def _refusal(self, action: str, error: Any) -> SourceError:
        what = str(error.explanation or error).strip()
        return SourceError(f"cannot {action}: {what}", "try it by hand with docker")


def _tar(name: str, data: BinaryIO) -> Iterator[bytes]:
    """Yield a tar archive of one file, without a temporary file."""
    size = data.seek(0, os.SEEK_END)
    data.seek(0)
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, FILE_MODE
    yield info.tobuf(tarfile.GNU_FORMAT)
    while block := data.read(BLOCK_BYTES):
        yield block
    yield bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)


def vanishes(found: dict[str, Any]) -> bool:
    """Return whether a container is removed when it is stopped."""
    return bool((found.get("HostConfig") or {}).get("AutoRemove"))


def network_of(found: dict[str, Any]) -> str:
    """Return the id or name of the container whose network a container uses; "" without one."""
    mode = (found.get("HostConfig") or {}).get("NetworkMode") or ""
    kind, _, whose = str(mode).partition(":")
    return whose if kind == "container" else ""


def _innermost(error: BaseException) -> str:
    while error.__cause__ or error.__context__:
        error = error.__cause__ or error.__context__ or error
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
