"""Limits of the format: what a reader accepts, and why no archive needs more.

Lengths in the trailer are not authenticated: anyone who can write to a destination can choose them.
They are compared with these limits before a byte is read. `rescue.py` and `docs/format.md` state
the same numbers.
"""

from __future__ import annotations

MIB = 1 << 20

SEGMENT_MOST = 4 * MIB
"""Plaintext bytes of a data segment, at which a writer begins the next one."""
INDEX_SEGMENT_MOST = 40 * MIB
"""Plaintext bytes of an index segment: one entry with as many chunk lists, extents and attributes
as are allowed."""
SEALED_LEAST = 28
"""Sealed bytes of any frame: its nonce and its tag. So the size of a file bounds its frames."""
ARCHIVE_MOST = 2**63 - 1
"""Bytes of an archive: what a file offset can express."""

PLAINTEXT_MOST = {
    b"m": 32 * MIB,  # 300,000 block lists, or archives that are referred to
    b"t": 256 * MIB,  # decimal digits, which shrink to a quarter at most
    b"d": SEGMENT_MOST,
    b"i": INDEX_SEGMENT_MOST,
    b"s": MIB // 4,  # 1,000 archives take 35 KB
}
"""Frame kind -> most bytes that it may unpack to."""
SEALED_MOST = {
    b"m": 32 * MIB,  # compression makes a manifest much smaller than this
    b"t": 64 * MIB,  # about 20 TiB stored by one run, at 12 bytes for each 4 MiB segment
    b"d": SEGMENT_MOST + SEGMENT_MOST // 128 + 1024,
    b"i": INDEX_SEGMENT_MOST + INDEX_SEGMENT_MOST // 128 + 1024,
    b"s": MIB // 16,  # so that header and frame are one read
}
"""Frame kind -> most bytes in the file. zstd adds less than 1/128 to random data."""
