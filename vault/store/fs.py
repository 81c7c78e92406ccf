"""Store on any fsspec filesystem."""

from __future__ import annotations

import posixpath
import threading
import time
from abc import abstractmethod
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, TypeVar

from vault.errors import Away, NotThere, Retryable, VaultError
from vault.store.base import (
    MOST_FILES,
    Check,
    Part,
    Properties,
    Store,
    Stored,
    Upload,
    never,
    unfinished,
)
from vault.store.calls import in_thread, patience
from vault.store.faults import lookup, translate
from vault.store.fs_faults import FAULTS, os_fault

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fsspec import AbstractFileSystem

Result = TypeVar("Result")

LIST_SECONDS = 60.0
"""Longest time to go through the entries of one folder; a server may send them one by one."""


class FsspecStore(Store):
    """Store that writes under a temporary name, then renames.

    Everything here is public fsspec API. A subclass overrides what it can do better.
    """

    def __init__(self, name: str, root: str, properties: Properties) -> None:
        """Use the filesystem that `connect` returns; `root` is a path in it."""
        super().__init__(name, root, properties)
        self.base = self.root
        """Path of the root in the filesystem."""
        self._lock = threading.Lock()
        self._filesystem: AbstractFileSystem | None = None

    @abstractmethod
    def connect(self) -> AbstractFileSystem:
        """Return a new filesystem; called in a thread that may wait."""

    def services(self, check: Check = never) -> list[str]:
        """Return the names of the folders below the root."""
        return [stored.name for stored in self._list("", "directory", check)]

    def files(self, service: str, check: Check = never) -> list[Stored]:
        """Return all regular files of a service."""
        return self._list(service, "file", check)

    def size(self, service: str, name: str, check: Check = never) -> int:
        """Return the size of a file."""

        def work(fs: AbstractFileSystem) -> int:
            return int(fs.info(self.path(service, name))["size"])

        return self.call(f"look at {service}/{name}", work, check)

    def read(
        self, service: str, name: str, offset: int, length: int, check: Check = never
    ) -> bytes:
        """Read a range; never return more than was requested."""
        if not length:
            return b""

        def work(fs: AbstractFileSystem) -> bytes:
            path = self.path(service, name)
            if offset >= (fs.info(path)["size"] or 0):  # some servers refuse a range beyond the end
                return b""
            with fs.open(path, "rb", block_size=length, cache_type="none") as file:
                file.seek(offset)
                found = bytearray()
                while (left := length - len(found)) and (more := file.read(left)):
                    if len(more) > left:
                        why = f"it sent {len(more):,} bytes instead of {left:,}"
                        raise self.fault(action, why, "is it the right server?", Retryable)
                    found += more
            return bytes(found)

        action = f"read {service}/{name}"
        return self.call(action, work, check, length)

    def upload(self, service: str, name: str, check: Check = never) -> Upload:
        """Begin to write a file."""
        action = f"write {service}/{name}"

        def work(fs: AbstractFileSystem) -> Any:
            fs.makedirs(self.path(service), exist_ok=True)
            return fs.open(self.path(service, unfinished(name)), "wb")

        return _Upload(self, action, self.call(action, work, check))

    def place(self, service: str, name: str, check: Check = never) -> None:
        """Rename the unfinished file."""
        try:
            size = self.size(service, unfinished(name), check)
        except NotThere:  # renamed by an attempt whose answer was lost
            self.size(service, name, check)
            return

        def work(fs: AbstractFileSystem) -> None:
            before, after = self.path(service, unfinished(name)), self.path(service, name)
            try:
                fs.mv(before, after)
            except Exception:
                # A damaged archive exists, and this filesystem does not replace files.
                if not (fs.exists(before) and fs.exists(after)):
                    raise
                fs.rm_file(after)
                fs.mv(before, after)

        self.call(f"publish {service}/{name}", work, check, size)

    def discard(self, service: str, name: str) -> None:
        """Delete the unfinished file."""
        with suppress(NotThere):
            self.delete(service, unfinished(name))

    def delete(self, service: str, name: str, check: Check = never) -> None:
        """Delete one file."""
        self.call(
            f"delete {service}/{name}", lambda fs: fs.rm_file(self.path(service, name)), check
        )

    def free(self, check: Check = never) -> int | None:
        """Return None: fsspec cannot tell the free space."""
        del check
        return None

    def path(self, service: str, name: str = "") -> str:
        """Return the path of a file, or of a service's folder; "" is the root itself."""
        return posixpath.join(self.base, service, name).rstrip("/") or "/"

    def call(
        self,
        action: str,
        work: Callable[[AbstractFileSystem], Result],
        check: Check = never,
        size: int = 0,
    ) -> Result:
        """Run `work(filesystem)` with a time limit for `size` bytes; raises VaultError only.

        If it hangs or is cancelled, it is abandoned and the next call connects again.
        """
        filesystem = self.connected(action, check)
        with self.guarded(action, filesystem):
            return in_thread(lambda: work(filesystem), patience(size), check)

    def connected(self, action: str, check: Check) -> AbstractFileSystem:
        """Return the filesystem, connected once; raises VaultError only."""
        if (filesystem := self._filesystem) is not None:
            return filesystem
        with self.guarded(action):
            return in_thread(self._connected, patience(0), check)

    @contextmanager
    def guarded(self, action: str, filesystem: AbstractFileSystem | None = None) -> Iterator[None]:
        """Translate what a library raises, and drop a filesystem that may be broken."""
        try:
            yield
        except VaultError:
            raise
        except Exception as error:
            fault = self.translated(action, error)
            if isinstance(fault, Retryable):
                self.give_up(filesystem)
            raise fault from error
        except BaseException:
            self.give_up(filesystem)
            raise

    def give_up(self, broken: AbstractFileSystem | None) -> None:
        """Connect again for the next call. Several calls may report the same broken filesystem."""
        if broken is not None and broken is self._filesystem:
            self._filesystem = None

    def translated(self, action: str, error: BaseException) -> VaultError:
        """Return the error to raise for an exception of the library."""
        cause, fault = lookup(error, FAULTS)
        return translate(self, action, cause, os_fault(cause) or fault)

    def _list(self, service: str, kind: str, check: Check) -> list[Stored]:
        """Return all of one kind in a folder, sorted by name; nothing if it does not exist."""

        def work(fs: AbstractFileSystem) -> list[Stored]:
            path = self.path(service)
            fs.invalidate_cache()
            try:
                found = fs.ls(path, detail=True)
            except FileNotFoundError:
                if fs.exists(path):  # a file vanished meanwhile: nothing is known
                    raise ConnectionError("the folder changed while it was listed") from None
                return []
            own, listed, until = path.strip("/"), [], time.monotonic() + LIST_SECONDS
            for number, info in enumerate(found):
                if number == MOST_FILES:
                    raise ValueError(f"it lists more than {MOST_FILES:,} files")
                if time.monotonic() > until:  # abandoned: it must not go on for ever
                    raise TimeoutError
                at, what = str(info["name"]).rstrip("/"), info["type"]
                if at.strip("/") == own:
                    if what == "file":
                        raise NotADirectoryError(20, "Not a directory")
                elif what == kind:
                    listed.append(Stored(posixpath.basename(at), int(info["size"] or 0)))
            return sorted(listed, key=lambda stored: stored.name)

        return self.call(f"list {service or 'services'}", work, check)

    def _connected(self) -> AbstractFileSystem:
        with self._lock:
            if self._filesystem is None:
                self._filesystem = self.connect()
            return self._filesystem


class _Upload(Upload):
    """Bytes written in order to a file of fsspec; it cannot continue after a fault."""

    def __init__(self, store: FsspecStore, action: str, file: Any) -> None:
        self._store, self._action, self._file = store, action, file
        self._size = 0

    def put(self, number: int, part: Part, check: Check) -> None:
        """Write one part."""
        del number
        data = part.read()
        self._do(lambda: self._file.write(data), part.length, check)
        self._size += part.length

    def finish(self, check: Check) -> None:
        """Close the file: some filesystems send it only now."""
        self._do(self._file.close, self._size, check)

    def abandon(self) -> None:
        """Prevent the file from being completed, where the filesystem can."""
        with suppress(Exception):
            self._store.call(self._action, lambda _: self._file.discard())

    def _do(self, work: Callable[[], object], size: int, check: Check) -> None:
        try:
            self._store.call(self._action, lambda _: work(), check, size)
        except Retryable as error:
            raise Away(str(error), error.hint) from error
