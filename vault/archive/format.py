"""Parts of an archive as plain data: names, trailer, entries, manifest, table.

Field by field as in docs/format.md, which is authoritative.
"""

from __future__ import annotations

import base64
import re
import struct
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Annotated, ClassVar, Literal, Self

import msgspec

from vault.archive.lineage import Id, Lineage, Root, Time
from vault.archive.ranges import BLOCK_ENTRIES, RANGES
from vault.errors import Damaged

if TYPE_CHECKING:
    from vault.archive.header import Header

TRAILER = struct.Struct(">QII8s8s")
TRAILER_MAGIC = b"TARKCAP\n"
SEGMENT_BYTES = 4 << 20
CHUNK_AVERAGE = 1 << 20

MANIFEST, TABLE, FIRST_SEGMENT = 0, 1, 2
"""Frame numbers."""
Kind = Literal[b"m", b"t", b"d", b"i", b"s"]

_NAME = re.compile(r"(.+)-([0-9]{8}T[0-9]{6}Z)-([0-9a-f]{8})\.([a-z]+)")

Count = Annotated[int, msgspec.Meta(ge=0, le=RANGES["size"][1])]
Length = Annotated[int, msgspec.Meta(ge=1, le=RANGES["size"][1])]
Owner = Annotated[int, msgspec.Meta(ge=0, le=RANGES["uid"][1])]
Mode = Annotated[int, msgspec.Meta(ge=0, le=RANGES["mode"][1])]
"""Ranges of numbers: an archive made with the right key may still be wrong. See `check_index`."""

Reference = tuple[str, str, Count, Count, Count]
"""(chunk id, archive id, frame number, offset, length); ids in hex, offset in the plaintext."""
IndexReference = tuple[
    Id, Id, Annotated[int, msgspec.Meta(ge=2, le=RANGES["size"][1])], Count, Length
]
"""Reference to a part of an index, checked as it is decoded; `check_entry` checks the others."""


class ArchiveName(msgspec.Struct, frozen=True):
    """`<service>-<time>-<8 hex>.packrat`."""

    SUFFIX: ClassVar[str] = "packrat"

    service: str
    time: str
    short: str

    def __str__(self) -> str:
        return f"{self.service}-{self.time}-{self.short}.{self.SUFFIX}"

    @classmethod
    def parse(cls, name: str) -> Self | None:
        """Return the parts of a name, None if packrat never creates such a name."""
        match = _NAME.fullmatch(name)
        return cls(*match.groups()[:3]) if match and match[4] == cls.SUFFIX else None


class StatementName(ArchiveName, frozen=True):
    """`<service>-<time>-<8 hex>.statement`."""

    SUFFIX: ClassVar[str] = "statement"


def parse_name(name: str) -> ArchiveName | None:
    """Return the parts of the name of an archive or a statement; None for any other file."""
    return ArchiveName.parse(name) or StatementName.parse(name)


def stamp(seconds: float) -> str:
    """Format seconds since 1970 as `YYYYMMDDThhmmssZ`."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y%m%dT%H%M%SZ")


def unstamp(time: str) -> int:
    """Parse `YYYYMMDDThhmmssZ` to seconds since 1970."""
    return int(datetime.fromisoformat(time).timestamp())


class Trailer(msgspec.Struct, frozen=True):
    """Clear end of an archive: the positions of manifest and table."""

    manifest_offset: int
    manifest_length: int
    table_length: int
    archive_id: bytes

    def pack(self) -> bytes:
        """Return the 32 bytes of the trailer."""
        return TRAILER.pack(
            self.manifest_offset,
            self.manifest_length,
            self.table_length,
            self.archive_id[:8],
            TRAILER_MAGIC,
        )

    @classmethod
    def unpack(cls, data: bytes, size: int, header: Header, archive: str) -> Trailer:
        """Parse and check against the file's size; raises Damaged naming the archive."""
        if len(data) < TRAILER.size or not data.endswith(TRAILER_MAGIC):
            raise Damaged(archive, "does not end as a packrat archive: it is cut off or damaged")
        offset, manifest, table, short, _ = TRAILER.unpack(data[-TRAILER.size :])
        if offset + manifest + table + TRAILER.size != size or short != header.archive_id[:8]:
            raise Damaged(archive, "its trailer is damaged")
        return cls(offset, manifest, table, header.archive_id)


REGULAR = ("file", "stream")
"""Types of entries that a restore makes regular files."""


class Entry(msgspec.Struct, omit_defaults=True, gc=False):
    """One file, folder, link or device of a service."""

    path: str = ""
    path64: str | None = None
    type: Literal["file", "dir", "symlink", "fifo", "char", "block", "stream"] = "file"
    mode: Mode = 0
    uid: Owner = 0
    gid: Owner = 0
    mtime: int = 0
    ctime: int = 0
    inode: int = 0
    size: Count = 0
    link: tuple[int, int] | None = None
    target: str | None = None
    target64: str | None = None
    device: tuple[Owner, Owner] | None = None
    xattrs: dict[str, str] = {}
    xattrs64: dict[str, str] = {}
    extents: list[tuple[Count, Count]] | None = None
    chunks: list[Reference] = []
    lists: list[Reference] = []
    """Chunk lists, which hold the references of a file that has many."""
    average: int = CHUNK_AVERAGE
    """Average bytes of a chunk; smaller for a large file that changes inside."""
    unsettled: bool = False

    @property
    def name(self) -> str:
        """The path as Python represents it: bytes that are not UTF-8 become lone surrogates."""
        return self.path if self.path64 is None else untext("", self.path64)

    @property
    def data(self) -> list[tuple[int, int]]:
        """(offset, length) of each stretch of data; holes are between them."""
        if self.extents is not None:
            return self.extents
        return [(0, self.size)] if self.size else []


def text(name: str) -> tuple[str, str | None]:
    """Split a name into (text, None), or ("", base64) if it is not UTF-8."""
    try:
        name.encode()
    except UnicodeEncodeError:
        return "", base64.b64encode(name.encode("utf-8", "surrogateescape")).decode()
    return name, None


def untext(plain: str, encoded: str | None) -> str:
    """Reverse `text`; raises Damaged."""
    if encoded is None:
        return plain
    try:
        return base64.b64decode(encoded, validate=True).decode("utf-8", "surrogateescape")
    except ValueError:
        raise Damaged(repr(encoded), "is no name in base64") from None


def order(path: str) -> bytes:
    """Return the sort key of a path: folder by folder, so that `a/b` comes before `a-b`."""
    return path.encode("utf-8", "surrogateescape").replace(b"/", b"\0")


class Block(msgspec.Struct, omit_defaults=True, gc=False):
    """Position of one block of the index, and the path of its first entry."""

    chunk: IndexReference
    entries: Annotated[int, msgspec.Meta(ge=1, le=BLOCK_ENTRIES)]
    first: str = ""
    first64: str | None = None


class Referred(msgspec.Struct):
    """Another archive that this one refers to, with the number of plaintext bytes used of it."""

    id: Id
    name: str
    size: Count
    used: Count


class Summary(Lineage, kw_only=True):
    """A manifest without its index."""

    format: Literal[2]
    id: Id
    service: str
    host: str
    time: Time
    kind: Literal["full", "incremental"]
    barrier: Count
    roots: list[Root]
    entries: Count
    files: Count
    size: Count
    read: Count
    payload: Count
    missed: Count
    normal: tuple[Count, Count]
    archives: list[Referred]

    @property
    def name(self) -> str:
        """Name of the archive's file."""
        return str(ArchiveName(self.service, self.time, self.id[:8]))

    @property
    def made(self) -> str:
        """Time at which the source was read, in the form of `time`.

        It is earlier than `time` if an older backup is dated ahead, because a clock was.
        """
        with suppress(ValueError, OverflowError, OSError):
            return min(self.time, stamp(self.barrier // 10**9) if self.barrier else self.time)
        return self.time


class Manifest(Summary, kw_only=True):
    """Description of an archive, sealed in it."""

    index: list[IndexReference]
    """Block lists."""


class Table(msgspec.Struct):
    """(offset, length) of the sealed frames 2, 3, … in the file."""

    frames: list[tuple[int, int]]


encode = msgspec.json.Encoder().encode
decode_entries = msgspec.json.Decoder(list[Entry]).decode
decode_entry = msgspec.json.Decoder(tuple[Entry]).decode
decode_blocks = msgspec.json.Decoder(list[Block]).decode
decode_references = msgspec.json.Decoder(list[Reference]).decode
decode_manifest = msgspec.json.Decoder(Manifest).decode
# Made here: several threads must not be the first to decode a type, which msgspec prepares then.
decode_summary = msgspec.json.Decoder(Summary).decode
decode_table = msgspec.json.Decoder(Table).decode
