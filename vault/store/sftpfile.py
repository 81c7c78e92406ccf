"""A file that is being written over SFTP: it outlives a cut connection, and is flushed on the way.

And what it takes to write one fast.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import asyncssh

FLUSH_BYTES = 128 << 20
"""So much may be written before the server is asked to bring it to its disk."""


class SftpFile:
    """Written range by range, by several tasks of one event loop at once."""

    def __init__(self, folder: str, name: str) -> None:
        """Make no file yet: the first write makes it, and the folder."""
        self._folder, self._path = folder, f"{folder}/{name}"
        self._opening = asyncio.Lock()
        self._file: Any = None
        self._owner: Any = None
        """The connection that opened it."""
        self._unflushed = 0
        self._flushing: asyncio.Task[None] | None = None

    async def write(self, fs: Any, data: bytes, offset: int) -> None:
        """Write where it belongs, by whatever connection `fs` (sshfs) is now."""
        await (await self._opened(fs)).write(data, offset)
        self._unflushed += len(data)
        if self._unflushed >= FLUSH_BYTES and (self._flushing is None or self._flushing.done()):
            self._unflushed = 0
            flush = self._flush(fs.client)
            self._flushing = asyncio.get_running_loop().create_task(flush)

    async def finish(self, fs: Any) -> None:
        """Bring all of it to the server's disk, where it can, and close it."""
        from asyncssh.sftp import SFTPOpUnsupported

        file = await self._opened(fs)
        with suppress(SFTPOpUnsupported):
            await file.fsync()
        await file.close()

    async def _opened(self, fs: Any) -> Any:
        async with self._opening:
            if self._owner is not fs:
                async with fs._pool.get() as channel:
                    if self._owner is None:
                        await channel.makedirs(self._folder, exist_ok=True)
                        self._file = await channel.open(self._path, "wb")
                    else:  # connected anew: what was written stands
                        self._file = await channel.open(self._path, "r+b")
                self._owner = fs
            return self._file

    async def _flush(self, client: asyncssh.SSHClientConnection) -> None:
        """Flush while more comes, so that the end is no long wait.

        By a channel of its own: on each, a server does one thing after the other. What goes wrong
        here is told by the flush at the end.
        """
        with suppress(Exception):
            async with client.start_sftp_client() as own, own.open(self._path, "r+b") as file:
                await file.fsync()


def send_no_padding(client: asyncssh.SSHClientConnection) -> None:
    """Leave out the empty packet that the library sends before each packet of data.

    It hides the initialization vectors of CBC ciphers; with any other it only costs a third of
    the speed (measured).
    """
    from asyncssh.constants import MSG_IGNORE

    send = client.send_packet

    def send_packet(kind: int, *data: bytes, **more: Any) -> None:
        if kind != MSG_IGNORE:
            send(kind, *data, **more)

    if "cbc" not in client.get_extra_info("send_cipher", "cbc"):
        client.send_packet = send_packet  # type: ignore[assignment]
