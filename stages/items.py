"""Items that flow from stage to stage. Each reads the same in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

from vault.store import upload

if TYPE_CHECKING:
    from vault.archive.format import Block, Entry, Kind


class Kept(Struct, frozen=True, gc=False):
    """Consecutive entries of the parent's index in which nothing has changed."""

    block: Block | None
    """The block of the index that they make up, if they are a whole one."""
    entries: list[Entry]
    files: int
    size: int


class Piece(Struct, frozen=True, gc=False):
    """Some data of one file. Folders and unchanged files have no data."""

    entry: Entry
    offset: int = 0
    """Position of the data in the file."""
    data: bytes | memoryview = b""
    last: bool = True
    """This is the last piece of its entry."""
    again: bool = False
    """The file changed while it was read: the earlier pieces of this entry are void."""
    kept: Kept | None = None
    """Unchanged entries instead of a single one, `entry` being the first."""
    early: bool = False
    """Read while the containers ran: its data is stored; the entry comes again if it is valid."""
    stored: bool = False
    """Comes again: its data was read early."""


class Chunk(Piece, frozen=True, gc=False):
    """Piece that is a whole chunk, named by its content."""

    id: str = ""


class Segment(Struct, frozen=True, gc=False):
    """Plaintext of one frame: many chunks, end to end."""

    archive: str
    """Archive id."""
    number: int
    kind: Kind
    data: tuple[bytes | memoryview, ...]
    """Its content in parts, which are joined in the thread that compresses them."""
    wanted: bytes = b""
    """During a restore: the required stretches and where they go, as the layout encodes them."""


class Frame(Struct, frozen=True, gc=False):
    """Compressed segment."""

    archive: str
    number: int
    kind: Kind
    data: bytes
    wanted: bytes = b""


class Sealed(Struct, frozen=True, gc=False):
    """Encrypted frame; or the clear header or trailer, whose number is -1."""

    archive: str
    number: int
    kind: Kind | None
    data: bytes | memoryview
    wanted: bytes = b""


class Part(upload.Part, frozen=True, gc=False, kw_only=True):
    """Stretch of the bytes of one archive, and how to get them."""

    archive: str
    places: tuple[Place, ...] = ()
    """The required frames in it."""


class Place(Struct, frozen=True, gc=False):
    """Position at a destination: of a whole archive in a backup, of a frame in a restore."""

    archive: str
    offset: int
    length: int
    number: int = -1
