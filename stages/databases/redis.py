"""Redis and Valkey: a snapshot by `redis-cli --rdb`, which a server loads when it starts."""

from __future__ import annotations

import re
from io import BytesIO
from typing import TYPE_CHECKING, BinaryIO, ClassVar, Literal

from stages.databases.base import Server, Tools, from_environment
from stages.errors import SourceError
from stages.service.docker import DockerEngine

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stages.databases.base import Settings

FILE = "dump.rdb"
MAGIC = re.compile(rb"(REDIS\d{4}|VALKEY\d{3})")
MAGIC_BYTES = 9
EOF, CHECKSUM_BYTES = b"\xff", 8
"""Last operation of a snapshot, and its CRC-64, little-endian; 0 if the server makes none."""
MARK_BYTES = 40

CLIENT = """client=redis-cli; command -v redis-cli >/dev/null || client=valkey-cli
run() { "$client" ${PACKRAT_USER:+--user "$PACKRAT_USER"} "$@"; }
"""
DUMP = CLIENT + "run --rdb -"
SETTINGS = CLIENT + (
    "for name in dir dbfilename appendonly appenddirname appendfilename; do"
    ' run config get "$name" </dev/null; done'
)


class Redis(Server):
    """Redis or Valkey in a container."""

    kind: Literal["redis", "valkey"]

    title: ClassVar[str] = "Redis"
    loads_when_stopped: ClassVar[bool] = True
    script: ClassVar[str] = (
        from_environment("REDISCLI_AUTH", "REDIS_PASSWORD", "VALKEY_PASSWORD")
        + 'if [ -z "$REDISCLI_AUTH" ]; then unset REDISCLI_AUTH;'
        + ' else export VALKEYCLI_AUTH="$REDISCLI_AUTH"; fi\n'
    )
    user_variable: ClassVar[str] = "PACKRAT_USER"
    password_variable: ClassVar[str] = "REDISCLI_AUTH"  # noqa: S105
    data_folders: ClassVar[tuple[str, ...]] = (
        "/data",
        "/bitnami/redis",
        "/bitnami/valkey",
        "/var/lib/redis",
    )

    def files(self, tools: Tools) -> list[str]:  # noqa: ARG002
        """Return the one file of a dump, with all databases of the server."""
        return [FILE]

    def dump(self, file: str, tools: Tools) -> Iterator[bytes]:
        """Yield a snapshot; raises SourceError unless it is whole."""
        proof = Snapshot()
        for piece in self.program("the dump", DUMP, (), tools):
            yield proof.add(piece)
        end = proof.finish()
        if end is None:
            raise SourceError(
                f"the dump of {self.where}, {file}, is cut off or has a wrong checksum",
                "try redis-cli --rdb by hand with docker exec",
            )
        yield end

    def settings(self, tools: Tools) -> Settings:
        """Return where the running server keeps its data, for `load`; raises SourceError."""
        printed = self.printed("the look at the settings", SETTINGS, tools)
        lines = printed.decode(errors="replace").splitlines()
        found = dict(zip(lines[::2], lines[1::2], strict=False))
        if not {"dir", "dbfilename", "appendonly"} <= found.keys():
            raise SourceError(
                f"{self.where} does not say where it keeps its data: {' '.join(lines)[:200]}",
                "its user needs the right to CONFIG GET",
            )
        return found

    def load(self, file: str, data: BinaryIO, tools: Tools, settings: Settings) -> None:  # noqa: ARG002
        """Put a snapshot where the server, which is stopped, reads it; raises SourceError."""
        engine = DockerEngine(self.host)
        if engine.inspect(self.container).running:
            raise SourceError(
                f"{self.where} runs: it would overwrite {file} when it stops",
                "restore in place stops it; make sure that nothing starts it meanwhile",
            )
        folder = settings["dir"]
        if settings["appendonly"] != "yes":
            engine.put_file(self.container, folder, settings["dbfilename"], data)
            return
        log = settings.get("appendfilename", "appendonly.aof")
        if inner := settings.get("appenddirname"):  # since version 7
            folder = f"{folder}/{inner}"
            engine.put_file(self.container, folder, f"{log}.1.base.rdb", data)
            listed = f"file {log}.1.base.rdb seq 1 type b\n".encode()
            engine.put_file(self.container, folder, f"{log}.manifest", BytesIO(listed))
        else:  # a log may begin with a snapshot
            engine.put_file(self.container, folder, log, data)


class Snapshot:
    """Proof that a snapshot is whole: its beginning, its end and its checksum.

    `redis-cli` prints 40 bytes after it if the server makes it without a file: the mark by which
    the server says where it ends.
    """

    def __init__(self) -> None:
        from anycrc import Model

        self._model, self._crc = Model("CRC64-REDIS"), 0
        self._begun = b""
        self._last = b""
        """The last byte that counts in the checksum so far."""
        self._held = b""
        """Last bytes so far, which may be the checksum and the mark."""

    def add(self, piece: bytes) -> bytes:
        """Take the next bytes; return those that belong to the snapshot for certain."""
        missing = MAGIC_BYTES - len(self._begun)
        self._begun += piece[: max(missing, 0)]
        together = self._held + piece
        sure = together[: max(len(together) - CHECKSUM_BYTES - MARK_BYTES, 0)]
        if sure:
            self._crc = self._model.calc(sure, self._crc)
            self._last = sure[-1:]
        self._held = together[len(sure) :]
        return sure

    def finish(self) -> bytes | None:
        """Return the rest of the snapshot, None if it is not whole."""
        if not MAGIC.fullmatch(self._begun):
            return None
        with_mark, without = self._held[:CHECKSUM_BYTES], self._held[:-CHECKSUM_BYTES]
        if len(self._held) == CHECKSUM_BYTES + MARK_BYTES and self._is_end(
            self._last, with_mark, self._crc
        ):
            return with_mark
        crc = self._model.calc(without, self._crc)
        is_end = self._is_end((self._last + without)[-1:], self._held[-CHECKSUM_BYTES:], crc)
        return self._held if is_end else None

    @staticmethod
    def _is_end(last: bytes, checksum: bytes, crc: int) -> bool:
        return last == EOF and int.from_bytes(checksum, "little") in (0, crc)
