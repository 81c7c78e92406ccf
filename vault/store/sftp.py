"""Store in a folder behind SSH, for example on a Synology NAS, through sshfs."""

from __future__ import annotations

import asyncio
import stat
from contextlib import suppress
from typing import TYPE_CHECKING, Any, TypeVar

from vault.errors import NotThere, VaultError
from vault.store.async_fs import AsyncStore
from vault.store.base import MOST_FILES, Check, Properties, Stored, Upload, never, unfinished
from vault.store.faults import lookup, translate
from vault.store.sftp_faults import EXCEPTIONS
from vault.store.sftp_login import Login, connect
from vault.store.sftp_upload import SftpUpload, channel_of

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

Result = TypeVar("Result")

REQUEST_BYTES = 32 << 10, 256 << 10
"""Size of one read request: what every server accepts, and the largest useful size."""


class Sftp(AsyncStore):
    """Store that writes a dotted name, then renames it through the SFTP channel.

    sshfs's own `mv` may copy through a shell and delete the source even if the copy failed, its
    `cat_file` fetches whole files, and its `ls` accepts any number of entries. These operations
    therefore go through asyncssh's SFTP client, which sshfs pools.
    """

    def __init__(self, name: str, path: str, login: Login) -> None:
        """Use the folder `path`, relative to the login folder unless it begins with a slash."""
        super().__init__(name, path.removeprefix("./").rstrip("/") or ".", Properties())
        self._login = login

    def services(self, check: Check = never) -> list[str]:
        """Return the names of the folders below the root."""
        listed = self._entries("", check)
        return sorted(name for name, _, mode in listed if stat.S_ISDIR(mode))

    def files(self, service: str, check: Check = never) -> list[Stored]:
        """Return all files of a service."""
        listed = self._entries(service, check)
        found = [Stored(name, size) for name, size, mode in listed if not stat.S_ISDIR(mode)]
        return sorted(found, key=lambda stored: stored.name)

    def read(
        self, service: str, name: str, offset: int, length: int, check: Check = never
    ) -> bytes:
        """Read a range with many requests at once; never return more than was requested."""
        path = self.path(service, name)
        end = offset + length

        async def work(channel: Any) -> bytes:
            least, most = REQUEST_BYTES
            step = min(max(channel.limits.max_read_len, least), most)
            # With blocks of 0 asyncssh passes on what arrives, without copying it twice.
            async with channel.open(path, "rb", block_size=0) as file:
                reads = (_read(file, at, min(at + step, end)) for at in range(offset, end, step))
                return b"".join(await asyncio.gather(*reads))

        return self.ask(f"read {service}/{name}", work, check, length)

    def upload(self, service: str, name: str, check: Check = never) -> Upload:
        """Begin to write a file; the first part creates it."""
        del check
        action = f"write {service}/{name}"
        return SftpUpload(self, action, self.path(service), unfinished(name))

    def place(self, service: str, name: str, check: Check = never) -> None:
        """Rename the unfinished file; without posix-rename, use the plain rename."""
        before, after = self.path(service, unfinished(name)), self.path(service, name)

        async def work(channel: Any) -> None:
            from asyncssh.sftp import SFTPOpUnsupported

            try:
                await channel.posix_rename(before, after)
            except SFTPOpUnsupported:
                await channel.rename(before, after)

        try:
            self.ask(f"publish {service}/{name}", work, check)
        except NotThere:
            self.size(service, name, check)  # renamed by an attempt whose answer was lost

    def free(self, check: Check = never) -> int | None:
        """Return the free space of the server's disk, None if it does not report that."""

        async def work(channel: Any) -> int | None:
            from asyncssh.sftp import SFTPOpUnsupported

            try:
                found = await channel.statvfs(self.root)
            except SFTPOpUnsupported:
                return None
            return int(found.bavail) * int(found.frsize)

        return self.ask("look at its disk", work, check)

    def ask(
        self,
        action: str,
        work: Callable[[Any], Coroutine[Any, Any, Result]],
        check: Check = never,
        size: int = 0,
    ) -> Result:
        """Run `work(channel)` with an SFTP channel; raises VaultError only."""

        async def on_channel(filesystem: Any) -> Result:
            async with channel_of(filesystem) as channel:
                return await work(channel)

        return self.run(action, on_channel, check, size)

    def connect(self) -> Any:
        """Log in; the host key is checked before anything else."""
        return connect(self._login, self.loop)

    def give_up(self, broken: Any) -> None:
        """Disconnect: a broken connection stays broken, and pending answers must not be awaited."""
        current = broken is not None and broken is self._filesystem
        super().give_up(broken)
        if current:
            with suppress(Exception):
                broken.loop.call_soon_threadsafe(broken.client.abort)

    def translated(self, action: str, error: BaseException) -> VaultError:
        """Return the error to raise for an exception of asyncssh or sshfs."""
        cause, fault = lookup(error, EXCEPTIONS)
        if type(cause).__name__ == "HostKeyNotVerifiable":
            return self._login.refused_key(self, action)
        return translate(self, action, cause, fault, self._login.server)

    def _entries(self, service: str, check: Check) -> list[tuple[str, int, int]]:
        """Return (name, size, mode) of everything in a folder; nothing if it does not exist."""
        path = self.path(service)

        async def work(channel: Any) -> list[tuple[str, int, int]]:
            found = []
            async for one in channel.scandir(path):
                attributes = one.attrs
                found.append((_name(one), attributes.size or 0, attributes.permissions or 0))
                if len(found) > MOST_FILES:
                    raise ValueError(f"it lists more than {MOST_FILES:,} files")
            return found

        try:
            found = self.ask(f"list {service or self.root}", work, check)
        except NotThere:
            return []
        return [one for one in found if one[0] not in (".", "..")]


async def _read(file: Any, start: int, end: int) -> bytes:
    """Read a range; if a server answers a request with less, request the rest."""
    parts: list[bytes] = []
    while start < end and (more := await file.read(end - start, start)):
        start += len(more)
        if start > end:
            raise ValueError("it sent more than was requested")
        parts.append(more)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _name(one: Any) -> str:
    name = one.filename
    return name if isinstance(name, str) else name.decode(errors="surrogateescape")
