"""Open an archive and read its frames, from anything that reads ranges of bytes."""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING

import msgspec

from vault.archive.format import (
    FIRST_SEGMENT,
    HEADER_BYTES,
    MANIFEST,
    TABLE,
    ArchiveName,
    Header,
    Manifest,
    Trailer,
    decode_manifest,
    decode_table,
    unstamp,
)
from vault.archive.seal import Sealer, unpack
from vault.errors import Damaged, WrongKey

if TYPE_CHECKING:
    from vault.archive.format import Kind
    from vault.archive.keys import Keys

ReadRange = Callable[[int, int], bytes]
"""(offset, length) -> bytes."""

TAIL_BYTES = 64 << 10


def read_header(read: ReadRange, archive: str) -> Header:
    """Read and check the clear beginning of an archive; raises Damaged."""
    return Header.unpack(read(0, HEADER_BYTES), archive)


class Archive:
    """An archive that is whole at both ends and was sealed under these keys.

    Opening takes two range reads, three when the manifest is long. Raises Damaged, and WrongKey
    when another key sealed it. `name` is the name it must have by its own manifest.
    """

    def __init__(self, read: ReadRange, size: int, name: str, keys: Keys, where: str = "") -> None:
        """`where` is how errors call the file; its name when left out."""
        self._read = read
        self.name = name
        self.size = size
        self.where = where or name
        self.header = read_header(read, self.where)
        if self.header.key_id != keys.key_id:
            raise WrongKey(
                f"{self.where} is sealed under another key ({self.header.key_id.hex()},"
                f" yours is {keys.key_id.hex()})",
                "its password makes the right key file: packrat rekey",
            )
        self.sealer = Sealer(keys, self.header, self.where)
        start = max(0, size - TAIL_BYTES)
        tail = read(start, size - start)
        self.trailer = Trailer.unpack(tail, size, self.header, self.where)
        if self.trailer.manifest_offset < start:
            start = self.trailer.manifest_offset
            tail = read(start, size - start)
        at = self.trailer.manifest_offset - start
        middle = at + self.trailer.manifest_length
        self._table_sealed = tail[middle : middle + self.trailer.table_length]
        try:
            self.manifest: Manifest = decode_manifest(self._open(MANIFEST, b"m", tail[at:middle]))
        except msgspec.MsgspecError as error:
            raise Damaged(self.where, f"its manifest does not parse: {error}") from None
        self._check_name(name)

    @cached_property
    def frames(self) -> list[tuple[int, int]]:
        """(offset, length) of frame 2, 3, …; raises Damaged unless they fill the file."""
        try:
            frames = decode_table(self._open(TABLE, b"t", self._table_sealed)).frames
        except msgspec.MsgspecError as error:
            raise Damaged(self.where, f"its table does not parse: {error}") from None
        end = HEADER_BYTES
        for offset, length in sorted(frames):
            if offset != end:
                raise Damaged(self.where, "its table has a gap")
            end += length
        if end != self.trailer.manifest_offset:
            raise Damaged(self.where, "its table does not reach to its manifest")
        return frames

    def place(self, number: int) -> tuple[int, int]:
        """Give offset and sealed length of a frame in the file; raises Damaged."""
        if not 0 <= number - FIRST_SEGMENT < len(self.frames):
            raise Damaged(self.where, f"has no frame {number}")
        return self.frames[number - FIRST_SEGMENT]

    def frame(self, number: int, kind: Kind) -> bytes:
        """Read a segment's plaintext; raises Damaged."""
        return self._open(number, kind, self._read(*self.place(number)))

    def any_frame(self, number: int) -> tuple[Kind, bytes]:
        """Read a segment whose kind is not known; raises Damaged."""
        sealed = self._read(*self.place(number))
        try:
            return b"d", self._open(number, b"d", sealed)
        except Damaged:
            return b"i", self._open(number, b"i", sealed)

    def _open(self, number: int, kind: Kind, sealed: bytes) -> bytes:
        return unpack(self.where, number, kind, self.sealer.open(number, kind, sealed))

    def _check_name(self, name: str) -> None:
        """Refuse a name that is not its own: an old or a foreign archive, replayed."""
        own = ArchiveName(self.manifest.service, self.manifest.time, self.manifest.id[:8])
        if str(own) != name or self.manifest.id != self.header.archive_id.hex():
            raise Damaged(self.where, f"is in truth {own}; somebody renamed or exchanged it")
        try:
            unstamp(self.manifest.time)
        except ValueError:
            raise Damaged(self.where, "says that it was made at no time that there is") from None
