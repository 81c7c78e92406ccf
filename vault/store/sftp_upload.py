"""File that is written over SFTP: it survives a broken connection, and is flushed on the way."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING, Any

from vault.store.base import Check, Part, Upload
from vault.store.upload import UNDER_WAY

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from vault.store.sftp import Sftp

FLUSH_BYTES = 128 << 20
"""Bytes that may be written before the server is asked to flush them to its disk."""


class SftpUpload(Upload):
    """Writer of parts at their offsets, several at once, on whatever connection is open."""

    at_once = UNDER_WAY

    def __init__(self, store: Sftp, action: str, folder: str, name: str) -> None:
        self._store, self._action = store, action
        self._folder, self._path = folder, f"{folder}/{name}"
        self._opening = asyncio.Lock()
        self._file: Any = None
        self._owner: Any = None
        """The connection that opened the file; None if it is closed."""
        self._created = False
        self._unflushed = 0
        self._flushing: asyncio.Task[None] | None = None

    def put(self, number: int, part: Part, check: Check) -> None:
        """Write one part."""
        del number
        data = part.read()

        async def work(filesystem: Any) -> None:
            await (await self._opened(filesystem)).write(data, part.offset)
            self._unflushed += len(data)
            if self._unflushed >= FLUSH_BYTES and (not self._flushing or self._flushing.done()):
                self._unflushed = 0
                self._flushing = asyncio.create_task(self._flush(filesystem.client))

        self._store.run(self._action, work, check, len(data) * UNDER_WAY)

    def finish(self, check: Check) -> None:
        """Flush all of it to the server's disk, if the server can, and close the file."""

        async def work(filesystem: Any) -> None:
            from asyncssh.sftp import SFTPOpUnsupported

            file = await self._opened(filesystem)
            with suppress(SFTPOpUnsupported):
                await file.fsync()
            await file.close()
            self._owner = None

        self._store.run(self._action, work, check)

    async def _opened(self, filesystem: Any) -> Any:
        async with self._opening:
            if self._owner is not filesystem:
                async with channel_of(filesystem) as channel:
                    if not self._created:
                        await channel.makedirs(self._folder, exist_ok=True)
                    # After a reconnect, what was written is still there.
                    self._file = await channel.open(self._path, "r+b" if self._created else "wb")
                    self._created = True
                self._owner = filesystem
            return self._file

    async def _flush(self, client: Any) -> None:
        """Flush while more arrives, so that the flush at the end is short.

        It uses its own channel, because a server works through the requests of a channel one by
        one. A fault here is reported by the flush at the end.
        """
        with suppress(Exception):
            async with client.start_sftp_client() as own, own.open(self._path, "r+b") as file:
                await file.fsync()


@asynccontextmanager
async def channel_of(filesystem: Any) -> AsyncIterator[Any]:
    """Lend one of the channels that sshfs pools; it has no public API for them."""
    async with filesystem._pool.get() as channel:  # noqa: SLF001
        yield channel
