"""A folder behind SSH, such as a Synology NAS, over sshfs."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any

from vault.errors import Away, NotThere, UnknownHost, VaultError
from vault.store.base import LATER, Stored, unfinished
from vault.store.remote import Remote, Result, Worth
from vault.store.throttle import Throttle
from vault.store.transfer import UNDER_WAY

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Awaitable, Callable, Iterable, Iterator
    from concurrent.futures import Future

    from vault.store.sftpplain import PlainSftp
    from vault.store.transfer import Source

CONNECT_SECONDS = 20
FAST_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"
"""First: every processor has AES; asyncssh would begin with ChaCha20, at half the speed."""
SYNOLOGY = "on a Synology, SFTP shows shares at /, not at /volume1"


class Sftp(Remote):
    """Takes an archive under a dotted name, and renames it by the SFTP channel itself.

    The library's own `mv` copies by a shell and then deletes the source, also when the copy
    failed; it is never used.
    """

    READERS = 2
    """Each has a connection: while one waits, the other brings something."""

    def __init__(
        self,
        name: str,
        host: str,
        port: int,
        username: str,
        path: str,
        key_file: str | None = None,
        password: str | None = None,
        known_hosts: Iterable[str] = (),
        host_key: str | None = None,
        limit: int | None = None,
    ) -> None:
        """`path` is relative to the login folder unless it begins with a slash.

        `known_hosts` are files of accepted host keys; `host_key`, a fingerprint, is the only one
        accepted instead. `password` unlocks the key file where there is one.
        """
        super().__init__(name, path.removeprefix("./").rstrip("/") or ".", limit)
        self._host, self._port, self._username = host, port, username
        self._key_file, self._password = key_file, password
        self._known_hosts = [file for file in known_hosts if os.path.exists(file)]
        self._host_key = host_key
        self.offered: Any = None
        """The host key that the server showed last."""

    def expect(self) -> None:
        """Begin to connect, to read, where that is simple."""
        with suppress(Exception):
            self._plain = self._open_plain()
            if self._plain:
                self._plain.expect()

    def services(self) -> list[str]:
        """Give the folders that stand here."""
        return [name for name, _, is_folder in self._list(self.root) if is_folder]

    def files(self, service: str) -> list[Stored]:
        """Give all regular files of a service."""
        listed = self._list(self._path(service))
        return [Stored(name, size) for name, size, is_folder in listed if not is_folder]

    def read(self, service: str, name: str, offset: int, length: int) -> bytes:
        """Read a range: the library's `cat_file` would fetch the whole file.

        In requests as large as the server takes them, all at once. The library would do that, too,
        but copies all that comes three times (a third of a restore's time, measured); with blocks
        of 0 it gives what it gets.
        """
        path = self._path(service, name)
        found: bytes | None = self.plainly(length, lambda plain: plain.read(path, offset, length))
        if found is not None:
            return found
        import asyncio

        async def work(channel: Any) -> bytes:
            most = channel.limits.max_read_len
            async with await channel.open(path, "rb", block_size=0) as file:
                starts = range(offset, offset + length, most)
                ends = (min(start + most, offset + length) for start in starts)
                return b"".join(await asyncio.gather(*map(partial(_read, file), starts, ends)))

        return self._ask(f"read {service}/{name}", work, length)

    def size(self, service: str, name: str) -> int:
        """Give the size of a file."""

        async def work(channel: Any) -> int:
            return int((await channel.stat(self._path(service, name))).size)

        return self._ask(f"look at {service}/{name}", work)

    def receive(
        self, service: str, name: str, source: Source, ranges: Iterable[tuple[int, int]]
    ) -> Iterator[int]:
        """Write each range where it belongs; a cut connection goes on where it was."""
        from vault.store.sftpfile import SftpFile

        action = f"write {service}/{name}"
        throttle = Throttle(self._limit)
        file = SftpFile(self._path(service), unfinished(name))

        def send(offset: int, length: int) -> int:
            data = source.read(offset, length)
            self.call(action, lambda fs: file.write(fs, data, offset), length)
            return offset + length

        with ThreadPoolExecutor(UNDER_WAY) as threads:
            waiting: list[Future[int]] = []
            for offset, length in ranges:
                throttle.wait(length, self.check)
                waiting.append(threads.submit(send, offset, length))
                while waiting and (len(waiting) == UNDER_WAY or waiting[0].done()):
                    yield waiting.pop(0).result()
            while waiting:
                yield waiting.pop(0).result()
        self.call(action, file.finish)

    def publish(self, service: str, name: str, prove: Callable[[str], None]) -> None:
        """Prove, then rename; a server without posix-rename gets the plain kind."""
        prove(unfinished(name))
        source, target = self._path(service, unfinished(name)), self._path(service, name)

        async def work(channel: Any) -> None:
            await _rename(channel, source, target)

        try:
            self._ask(f"publish {service}/{name}", work)
        except NotThere:
            # A rename whose answer was lost: it is done when the target stands.
            self.size(service, name)

    def discard(self, service: str, name: str) -> None:
        """Unlink the unfinished file."""
        with suppress(NotThere):
            self.delete(service, unfinished(name))

    def clean(self, service: str, before: str = LATER) -> None:
        """Unlink unfinished files."""
        for name in self._unfinished(service, before):
            self.delete(service, name)

    def delete(self, service: str, name: str) -> None:
        """Unlink one file."""

        async def work(channel: Any) -> None:
            await channel.unlink(self._path(service, name))

        self._ask(f"delete {service}/{name}", work)

    def probe(self, token: str) -> None:
        """Write a small file, read it back, rename and delete it."""
        first, second = f"{self.root}/.packrat-{token}.part", f"{self.root}/.packrat-{token}"

        async def work(channel: Any) -> bool:
            await channel.makedirs(self.root, exist_ok=True)
            async with await channel.open(first, "wb") as file:
                await file.write(token.encode())
            async with await channel.open(first, "rb") as file:
                same = bool(await file.read() == token.encode())
            await _rename(channel, first, second)
            await channel.unlink(second)
            return same

        if not self._ask("write, read back, rename and delete a file", work):
            raise self._away("read back a file", "other bytes came back", "look at its disk")

    def free(self) -> int | None:
        """Give what the server's disk has left, if it says."""

        async def work(channel: Any) -> int | None:
            from asyncssh.sftp import SFTPOpUnsupported

            try:
                found = await channel.statvfs(self.root)
            except SFTPOpUnsupported:
                return None
            return int(found.bavail) * int(found.frsize)

        return self._ask("look at its disk", work)

    def _list(self, path: str) -> list[tuple[str, int, bool]]:
        """Give (name, bytes, whether it is a folder) of all in a folder; none when it is away."""

        async def work(channel: Any) -> list[tuple[str, int, bool]]:
            found = await channel.readdir(path)
            return [(str(one.filename), one.attrs.size, _is_folder(one.attrs)) for one in found]

        found = self.plainly(0, lambda plain: plain.listing(path))
        if found is None:
            try:
                found = self._ask(f"list {path}", work)
            except NotThere:
                return []
        return sorted(one for one in found if one[0] not in (".", ".."))

    def _ask(self, action: str, work: Callable[[Any], Awaitable[Result]], size: int = 0) -> Result:
        """Run `work(channel)`, an SFTP channel of the library's pool; raises VaultError."""

        async def on_channel(fs: Any) -> Result:
            async with fs._pool.get() as channel:
                return await work(channel)

        return self.call(action, on_channel, size)

    def _path(self, service: str, name: str = "") -> str:
        return f"{self.root}/{service}/{name}".rstrip("/")

    def _open_plain(self) -> PlainSftp | None:
        if self._password or self._host_key or not (self._key_file and self._known_hosts):
            return None
        from vault.store.sftpplain import PlainSftp, ssh_command

        files = self._key_file, self._known_hosts
        command = ssh_command(self._host, self._port, self._username, *files)
        return PlainSftp(command) if command else None

    def _connect(self, loop: asyncio.AbstractEventLoop) -> Any:
        import asyncssh
        from sshfs import SSHFileSystem

        from vault.store.sftpfile import send_no_padding

        destination = self

        class Client(asyncssh.SSHClient):
            """Is asked about a host key that is in no file of accepted ones."""

            def validate_host_public_key(
                self, host: str, addr: str, port: int, key: asyncssh.SSHKey
            ) -> bool:
                del host, addr, port
                destination.offered = key
                return key.get_fingerprint() == destination._host_key

        class OnLoop(SSHFileSystem):  # type: ignore[misc]
            """Lives in our loop; given as an argument it would go on to asyncssh, which balks."""

            @property
            def loop(self) -> asyncio.AbstractEventLoop:
                return loop

        secret = {"passphrase": self._password} if self._key_file else {"password": self._password}
        fs = OnLoop(
            self._host,
            port=self._port,
            username=self._username,
            client_keys=[self._key_file] if self._key_file else None,
            known_hosts=([] if self._host_key else self._known_hosts) or b"",
            client_factory=Client,
            connect_timeout=CONNECT_SECONDS,
            login_timeout=CONNECT_SECONDS,
            keepalive_interval=15,
            keepalive_count_max=3,
            encryption_algs=FAST_CIPHERS,
            config=None,
            agent_path=None,
            timeout=2 * CONNECT_SECONDS,
            skip_instance_cache=True,
            **secret,
        )
        send_no_padding(fs.client)
        return fs

    def _reset(self, broken: Any) -> None:
        """Hang up: a broken SFTP connection stays broken, the next call makes a new one."""
        if broken is None or broken is not self._fs:
            return  # another call that it had broken has made a new one
        self._fs = None  # without the lock, which somebody who connects may hold for long
        with suppress(Exception):
            broken.loop.call_soon_threadsafe(broken.client.abort)

    def _translate(self, action: str, error: Exception) -> VaultError | Worth:  # noqa: PLR0911
        import asyncssh
        from asyncssh import sftp

        who = f"{self._username}@{self._host}:{self._port}"
        if isinstance(error.__cause__, asyncssh.Error):
            error = error.__cause__  # the library says less than what it was told
        match error:
            case asyncssh.HostKeyNotVerifiable():
                return self._host_key_fault(action)
            case asyncssh.PermissionDenied():
                return self._away(
                    action,
                    f"{who} refuses the login",
                    "its user, key or password is wrong: try ssh with the same ones",
                )
            case asyncssh.KeyImportError():
                return self._away(
                    action,
                    f"key file {self._key_file}: {error}",
                    "a passphrase goes into password:",
                )
            case FileNotFoundError() | sftp.SFTPNoSuchFile() | sftp.SFTPNoSuchPath():
                return NotThere(
                    f"destination {self.name} ({self.root}): cannot {action}: it is not there",
                    SYNOLOGY if self.root.startswith("/") else "",
                )
            case sftp.SFTPPermissionDenied() | sftp.SFTPWriteProtect() | PermissionError():
                return self._away(
                    action, "permission denied", f"{who} needs to write there; {SYNOLOGY}"
                )
            case sftp.SFTPNoSpaceOnFilesystem() | sftp.SFTPQuotaExceeded():
                return self._away(action, "its disk is full", "make room there")
            case sftp.SFTPConnectionLost() | sftp.SFTPNoConnection() | asyncssh.ConnectionLost():
                return Worth(self._away(action, f"{who} cut the connection", "is it up?"))
            case sftp.SFTPFailure():
                return self._away(
                    action,
                    f"the server says {error.reason!r}",
                    "most often its disk is full, or the user's quota",
                )
            case TimeoutError():
                return Worth(
                    self._away(action, f"{who} does not answer", "is it up, and not asleep?")
                )
            case asyncssh.DisconnectError() | ConnectionError():
                # What asyncio says of a refused connection is a Python tuple.
                number = getattr(error, "errno", None)
                why = os.strerror(number) if number else str(error)
                return Worth(self._away(action, f"{who}: {why}", "is it up, with SFTP enabled?"))
            case OSError():
                return Worth(
                    self._away(action, f"{who}: {error.strerror or error}", "is the address right?")
                )
            case _:
                return self._away(
                    action, f"{type(error).__name__}: {error}", "is it an SFTP server?"
                )

    def _host_key_fault(self, action: str) -> Away:
        shown = self.offered.get_fingerprint() if self.offered else "of a kind not accepted before"
        where = f"[{self._host}]:{self._port}" if self._port != 22 else self._host  # noqa: PLR2004
        if self._host_key:
            return self._away(
                action,
                f"the host key of {where} is {shown}, not {self._host_key}",
                "somebody may be in between; if the server was set up anew, change host_key",
            )
        if self._known():
            return self._away(
                action,
                f"the host key of {where} has changed: it is {shown}",
                "somebody may be in between; if the server was set up anew,"
                f" remove the old key with: ssh-keygen -R '{where}'",
            )
        fault = UnknownHost(
            f"destination {self.name} ({self.root}): cannot {action}:"
            f" the host key of {where} is unknown: {shown}",
            "compare it with the server's own, then accept it with: packrat check --connect",
        )
        if self.offered:
            fault.fingerprint = shown
            key = self.offered.export_public_key("openssh").decode().split()
            fault.line = f"{where} {key[0]} {key[1]}"
        return fault

    def _known(self) -> bool:
        import asyncssh

        for file in self._known_hosts:
            with suppress(OSError, ValueError):
                if asyncssh.match_known_hosts(file, self._host, "", self._port)[0]:
                    return True
        return False


async def _rename(channel: Any, source: str, target: str) -> None:
    from asyncssh.sftp import SFTPOpUnsupported

    try:
        await channel.posix_rename(source, target)
    except SFTPOpUnsupported:
        await channel.rename(source, target)


async def _read(file: Any, start: int, end: int) -> bytes:
    """Read until the end, or until the file's; a server may give less than it is asked for."""
    data: bytes = await file.read(end - start, start)
    more = data
    while more and start + len(data) < end:
        more = await file.read(end - start - len(data), start + len(data))
        data += more
    return data


def _is_folder(attrs: Any) -> bool:
    import stat

    return stat.S_ISDIR(attrs.permissions or 0)
