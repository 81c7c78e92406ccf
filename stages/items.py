"""What flows from stage to stage. Each item reads the same in both directions."""

from __future__ import annotations

from typing import TYPE_CHECKING

from msgspec import Struct

if TYPE_CHECKING:
    from collections.abc import Callable

    from vault.archive.format import Block, Entry, Kind


class Kept(Struct, frozen=True, gc=False):
    """Entries of the parent's index, one behind the other, in which nothing has changed."""

    block: Block | None
    """The block of the index that they are, when they are a whole one."""
    entries: list[Entry]
    files: int
    size: int


class Piece(Struct, frozen=True, gc=False):
    """Some data of one file, or none of it: folders and unchanged files have no data."""

    entry: Entry
    offset: int = 0
    """Where the data stands in the file."""
    data: bytes | memoryview = b""
    last: bool = True
    """Nothing more of this entry follows."""
    again: bool = False
    """The file changed while it was read: what came before of this entry is void."""
    kept: Kept | None = None
    """Instead of one entry: unchanged ones, `entry` being the first."""
    early: bool = False
    """Read while the containers ran: its data is stored, and the entry comes again if it holds."""
    stored: bool = False
    """Comes again: its data was read early."""


class Chunk(Struct, frozen=True, gc=False):
    """A whole chunk of one file, named by its content."""

    entry: Entry
    id: str = ""
    offset: int = 0
    data: bytes | memoryview = b""
    last: bool = True
    again: bool = False
    kept: Kept | None = None
    early: bool = False
    stored: bool = False


class Segment(Struct, frozen=True, gc=False):
    """The plaintext of one frame: many chunks, end to end."""

    archive: str
    """Archive id."""
    number: int
    kind: Kind
    data: tuple[bytes | memoryview, ...]
    """Pieces of it, end to end: whoever compresses them puts them together, in its thread."""
    wanted: bytes = b""
    """On the way back: which stretches of it go where, as the layout has it."""


class Frame(Struct, frozen=True, gc=False):
    """A segment, compressed."""

    archive: str
    number: int
    kind: Kind
    data: bytes
    wanted: bytes = b""


class Sealed(Struct, frozen=True, gc=False):
    """A frame, encrypted; or the clear header or trailer, whose number is -1."""

    archive: str
    number: int
    kind: Kind | None
    data: bytes | memoryview
    wanted: bytes = b""


class Part(Struct, frozen=True, gc=False):
    """A stretch of the bytes of one archive, and how to get them."""

    archive: str
    offset: int
    length: int
    read: Callable[[], bytes]
    link: Callable[[str], bool] = lambda _: False
    """Hard-link the file that holds the archive, and grows, to a path; False where it cannot."""
    places: tuple[Place, ...] = ()
    """The frames in it that are wanted."""


class Place(Struct, frozen=True, gc=False):
    """Position at a destination: of a whole archive going there, or of a frame coming back."""

    archive: str
    offset: int
    length: int
    number: int = -1
