"""Locks on containers: a container belongs to one run from the look at it to its start.

Each lock is a kernel lock on a file of the state folder, which ends with its process. It is named
by the container's id, because that is the same whatever name and address the engine is asked by.
"""

from __future__ import annotations

import fcntl
import os
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

from stages.errors import SourceError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from stages.service.docker import Container, DockerEngine

LOCK_SECONDS = 3600.0
"""Seconds that a run waits for another one that uses the same container."""
REPAIR_SECONDS = 5.0
"""Longest wait of a repair for a run that uses the same container; the next repair tries again."""
POLL_SECONDS = 0.2


class ContainerInUse(SourceError):  # noqa: N818
    """Another run uses the container."""


class ContainerLocks:
    """Container locks of one run, or of the repair of a dead one."""

    def __init__(self, state_dir: str, service: str) -> None:
        self._folder = os.path.join(state_dir, "locks", "containers")
        self._holder = f"service {service} (process {os.getpid()})"
        self._held: dict[str, int] = {}
        self.names: list[str] = []
        """Names of the containers that were locked by name last."""
        self.at_rest = False
        """All these containers were seen stopped since they were locked."""

    def take(
        self,
        containers: Iterable[Container],
        seconds: float,
        waiting: Callable[[str], None],
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Lock containers that are not locked yet; those of a failed call stay locked.

        Args:
            containers: In any order. Locks are taken in the order of ids, so that two runs never
                wait for each other.
            seconds: How long to wait for each.
            waiting: Called before a wait with what is waited for.
            check: Called several times a second; what it raises ends the wait.

        Raises:
            ContainerInUse: Another run still holds one.
            SourceError: The state folder cannot be written.
        """
        for id_, container in sorted({one.id: one for one in containers}.items()):
            if id_ not in self._held:
                self._held[id_] = self._wait(container, seconds, waiting, check)

    def take_named(
        self,
        engine: DockerEngine,
        names: Sequence[str],
        seconds: float,
        waiting: Callable[[str], None] = lambda _: None,
        check: Callable[[], None] = lambda: None,
    ) -> list[Container]:
        """Lock containers by name as `take` does; return their state once all are locked."""
        found = [engine.inspect(name) for name in names]
        while True:
            self.take(found, seconds, waiting, check)
            now = [engine.inspect(name) for name in names]
            if [one.id for one in now] == [one.id for one in found]:
                self.names = list(names)
                return [*{one.id: one for one in now}.values()]
            found = now  # it was made again while we waited

    @contextmanager
    def during(
        self,
        engine: DockerEngine,
        name: str,
        seconds: float,
        waiting: Callable[[str], None] = lambda _: None,
        check: Callable[[], None] = lambda: None,
    ) -> Iterator[None]:
        """Lock one container while the context lasts, or longer if it was locked before."""
        before = set(self._held)
        try:
            self.take_named(engine, (name,), seconds, waiting, check)
            yield
        finally:
            for id_ in self._held.keys() - before:
                self._release(id_)

    def note_at_rest(self) -> None:
        """Note that all these containers are stopped."""
        self.at_rest = True

    def release(self) -> None:
        """Release all locks."""
        self.at_rest = False
        for id_ in list(self._held):
            self._release(id_)

    def _release(self, id_: str) -> None:
        fd = self._held.pop(id_)
        os.unlink(self._file(id_))  # only the holder deletes it
        os.close(fd)

    def _wait(
        self,
        container: Container,
        seconds: float,
        waiting: Callable[[str], None],
        check: Callable[[], None],
    ) -> int:
        limit: float | None = None
        while True:
            fd, holder = self._try(container)
            if fd is not None:
                return fd
            if limit is None:
                limit = time.monotonic() + seconds
                waiting(f"container {container.name}, which {holder} is using")
            elif time.monotonic() > limit:
                raise ContainerInUse(
                    f"container {container.name} is in use by {holder}, and was not free within"
                    f" {seconds:.0f} s",
                    "let that run end first, or give the two services other times",
                )
            check()
            time.sleep(min(POLL_SECONDS, seconds))

    def _try(self, container: Container) -> tuple[int | None, str]:
        """Return the lock if it is free, or else its holder."""
        file = self._file(container.id)
        try:
            os.makedirs(self._folder, mode=0o700, exist_ok=True)
            fd = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        except OSError as error:
            raise SourceError(
                f"cannot lock container {container.name}: {file}: {error.strerror}",
                "make room in the state folder, or correct state_dir",
            ) from error
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(fd, 400, 0).decode(errors="replace") or "another run"
            os.close(fd)
            return None, holder
        if not os.fstat(fd).st_nlink:  # its holder has deleted it since: there may be a new one
            os.close(fd)
            return self._try(container)
        with suppress(OSError):  # on a full disk the lock still holds, without a name
            os.ftruncate(fd, 0)
            os.pwrite(fd, self._holder.encode(), 0)
        return fd, ""

    def _file(self, id_: str) -> str:
        return os.path.join(self._folder, f"{id_}.lock")
