"""Reader of an archive and its frames, from anything that reads ranges of bytes."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, TypeVar

import msgspec

from vault.archive.format import (
    FIRST_SEGMENT,
    MANIFEST,
    TABLE,
    TRAILER,
    Manifest,
    Trailer,
    decode_manifest,
    decode_table,
    unstamp,
)
from vault.archive.header import HEADER_LEAST, HEADER_MOST, Header
from vault.archive.limits import ARCHIVE_MOST, SEALED_LEAST, SEALED_MOST
from vault.archive.lineage import fault_of_roots
from vault.archive.seal import Sealer, unpack
from vault.errors import Damaged, WrongKey

if TYPE_CHECKING:
    from vault.archive.format import Kind
    from vault.archive.keys import Keys

ReadRange = Callable[[int, int], bytes]
"""(offset, length) -> bytes."""

TAIL_BYTES = 64 << 10
Opened = TypeVar("Opened")


def read_header(read: ReadRange, size: int, archive: str) -> Header:
    """Read and check the clear beginning of an archive of `size` bytes; raises Damaged."""
    return Header.unpack(read(0, min(size, HEADER_MOST)), archive)


def again_if_damaged(attempt: Callable[[], Opened]) -> Opened:
    """Run an attempt that reads, and once more if it ends in Damaged."""
    try:
        return attempt()
    except Damaged:
        return attempt()


def require_key(header: Header, keys: Keys, where: str) -> None:
    """Raise WrongKey for a header of another key."""
    if header.commitment != keys.commitment:
        raise WrongKey(
            f"{where} is sealed under another key ({header.key_id.hex()},"
            f" yours is {keys.key_id.hex()})",
            "its password makes the right key file: packrat rekey",
        )


class Archive:
    """Archive that is complete at both ends and was sealed under these keys.

    Opening takes two range reads, three if the manifest is long. Bytes that fail authentication are
    requested a second time before they count as damaged: a bit may have flipped on the way. Raises
    Damaged, and WrongKey if another key sealed it. `name` is the name it must have according to its
    own manifest.
    """

    def __init__(self, read: ReadRange, size: int, name: str, keys: Keys, where: str = "") -> None:
        """Open an archive; errors call the file `where`, by default its name."""
        self._source = read
        self.name = name
        self.size = size
        self.where = where or name
        if not HEADER_LEAST + TRAILER.size <= size <= ARCHIVE_MOST:
            raise Damaged(self.where, f"is cut off: no archive has {size} bytes")
        self.header = again_if_damaged(lambda: read_header(self._read, size, self.where))
        require_key(self.header, keys, self.where)
        self.sealer = Sealer(keys, self.header, self.where)
        self._table_sealed: bytes | None = None
        self.trailer, self.manifest = again_if_damaged(self._read_end)
        if (self.manifest.kind == "incremental") != bool(self.manifest.archives):
            raise Damaged(self.where, "is not of the kind that its list of archives says")
        if fault := fault_of_roots(self.manifest.roots):
            raise Damaged(self.where, fault)
        self._check_name(name)

    @cached_property
    def frames(self) -> list[tuple[int, int]]:
        """(offset, length) of frame 2, 3, …; raises Damaged unless they fill the file."""
        try:
            sealed, self._table_sealed = self._table_sealed, None
            plaintext = self._frame(
                TABLE,
                b"t",
                self.trailer.manifest_offset + self.trailer.manifest_length,
                self.trailer.table_length,
                sealed,
            )
            if plaintext.count(b"[") > 1 + self.size // SEALED_LEAST:
                raise Damaged(self.where, "its table lists more frames than fit into the file")
            frames = decode_table(plaintext).frames
        except msgspec.MsgspecError as error:
            raise Damaged(self.where, f"its table does not parse: {error}") from None
        end = self.header.size
        for offset, length in sorted(frames):
            if offset != end or length <= 0:
                raise Damaged(self.where, "its table has a gap")
            end += length
        if end != self.trailer.manifest_offset:
            raise Damaged(self.where, "its table does not reach to its manifest")
        return frames

    def prove_size(self) -> None:
        """Raise Damaged if the size of the file is not authentic: the trailer alone is not.

        The table says where the frames end and manifest and table begin, whose lengths are right
        if they could be opened.
        """
        assert self.frames is not None

    def position(self, number: int) -> tuple[int, int]:
        """Return offset and sealed length of a frame in the file; raises Damaged."""
        if not 0 <= number - FIRST_SEGMENT < len(self.frames):
            raise Damaged(self.where, f"has no frame {number}")
        return self.frames[number - FIRST_SEGMENT]

    def frame(self, number: int, kind: Kind) -> bytes:
        """Read a segment's plaintext; raises Damaged."""
        return self._frame(number, kind, *self.position(number))

    def any_frame(self, number: int) -> tuple[Kind, bytes]:
        """Read a segment of unknown kind; raises Damaged."""
        offset, length = self.position(number)

        def attempt() -> tuple[Kind, bytes]:
            sealed = self._read(offset, self._checked_length(number, b"i", length))
            try:
                return b"d", self._open(number, b"d", sealed)
            except Damaged:
                return b"i", self._open(number, b"i", sealed)

        return again_if_damaged(attempt)

    def _frame(
        self, number: int, kind: Kind, offset: int, length: int, sealed: bytes | None = None
    ) -> bytes:
        """Open a frame; `sealed` is its data if it was read already. Raises Damaged."""
        self._checked_length(number, kind, length)
        if sealed is not None:
            with suppress(Damaged):
                return self._open(number, kind, sealed)
        return again_if_damaged(lambda: self._open(number, kind, self._read(offset, length)))

    def _read_end(self) -> tuple[Trailer, Manifest]:
        """Read trailer and manifest, and keep the table if it was read along; raises Damaged."""
        start = max(0, self.size - TAIL_BYTES)
        tail = self._read(start, self.size - start)
        trailer = Trailer.unpack(tail, self.size, self.header, self.where)
        self._checked_length(MANIFEST, b"m", trailer.manifest_length)
        self._checked_length(TABLE, b"t", trailer.table_length)
        at = trailer.manifest_offset - start
        middle = at + trailer.manifest_length
        if at >= 0:
            sealed = tail[at:middle]
        else:
            sealed = self._read(trailer.manifest_offset, trailer.manifest_length)
        self._table_sealed = tail[middle : middle + trailer.table_length] if middle >= 0 else None
        try:
            return trailer, decode_manifest(self._open(MANIFEST, b"m", sealed))
        except msgspec.MsgspecError as error:
            raise Damaged(self.where, f"its manifest does not parse: {error}") from None

    def _checked_length(self, number: int, kind: Kind, length: int) -> int:
        """Return a length within its limit; raises Damaged before anything is read."""
        if length > SEALED_MOST[kind]:
            raise Damaged(
                self.where,
                f"frame {number} says it takes {length:,} bytes, the format allows"
                f" {SEALED_MOST[kind]:,}",
            )
        return length

    def _read(self, offset: int, length: int) -> bytes:
        data = self._source(offset, length)
        if len(data) > length:
            raise Damaged(self.where, f"more came than was requested at byte {offset:,}")
        return data

    def _open(self, number: int, kind: Kind, sealed: bytes) -> bytes:
        return unpack(self.where, number, kind, self.sealer.open(number, kind, sealed))

    def _check_name(self, name: str) -> None:
        """Raise Damaged for a name that is not its own: a replayed old or foreign archive."""
        own = self.manifest.name
        if own != name or self.manifest.id != self.header.archive_id.hex():
            raise Damaged(self.where, f"is actually {own}: the file was renamed or swapped")
        try:
            unstamp(self.manifest.time)
        except ValueError:
            raise Damaged(self.where, "states a time that does not exist") from None
