"""Ranges of the values in an index: one list, which is also in rescue.py and docs/format.md.

Every reader refuses values outside, and no writer writes them. What the kernel can report is
within; what only a broken filesystem reports is stored differently, with a warning.
"""

from __future__ import annotations

SECOND_NS = 1_000_000_000
TIME_FIRST, TIME_LAST = TIME = (-(2**63) * SECOND_NS, 2**63 * SECOND_NS - 1)
"""Nanoseconds since 1970: the range of utimensat(2), whose seconds have 64 bits."""

OWNER_LAST = 2**32 - 2
"""Largest user or group id: chown(2) does not change the owner at 2**32 - 1."""

RANGES: dict[str, tuple[int, int]] = {
    "mode": (0, 0o7777),
    "uid": (0, OWNER_LAST),
    "gid": (0, OWNER_LAST),
    "mtime": TIME,
    "ctime": TIME,
    "inode": (0, 2**64 - 1),
    "size": (0, 2**63 - 1),
    "average": (64 << 10, 1 << 20),
    "link": (0, 2**64 - 1),  # device and inode
    "major": (0, 2**12 - 1),  # of a device, in Linux's ranges
    "minor": (0, 2**20 - 1),
}
"""Smallest and largest value of each number of an entry."""

PATH_BYTES = 64 << 10
"""Longest path: an index repeats all parents in every path, so deeper trees grow quadratically."""
TARGET_BYTES = 4095
"""Longest target that symlink(2) takes."""
XATTR_NAME_BYTES = 255
XATTRS_BYTES = 1 << 20
"""Names and values of one entry; the kernel allows 64 KiB for one value."""
REFERENCES_MOST = 16_000_000
"""Chunks of one entry: 8 TiB, of which 250 GiB are in chunks of 64 KiB."""
LISTED_FROM = 64
"""Chunks that an entry holds itself; if there are more, all of them are in chunk lists."""
LIST_MOST = 256
"""References of a chunk list, and blocks of a block list."""
LISTS_MOST = 250_000
"""Chunk lists of one entry: about 26 MB of the index."""
BLOCK_ENTRIES = 256
"""Entries of a block."""
BLOCK_BYTES = 1 << 20
"""Bytes of a block or block list that holds more than one item."""
LABEL_BYTES, ROOTS_MOST = 255, 1000
"""Longest label of a root, which is a name in a folder, and most roots of an archive."""
SEQUENCE_LAST = 2**53 - 1
"""Largest sequence number; every JSON reader can express it."""
ARCHIVES_SAID, TEXT_BYTES = 1000, 4096
"""Archives that a statement is about, and its text: both fit its frame."""


def within(name: str, value: int) -> bool:
    """Return whether a number of an entry is in its range."""
    low, high = RANGES[name]
    return low <= value <= high


def clamped(name: str, value: int) -> int:
    """Return the value, or the nearest end of its range."""
    low, high = RANGES[name]
    return min(max(value, low), high)
