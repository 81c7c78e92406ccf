"""Limits of the format: what a reader accepts, and why no archive needs more.

Lengths in the trailer are not authenticated: anyone who can write to a destination can choose them.
They are compared with these limits before a byte is read. `rescue.py` and `docs/format.md` state
the same numbers.
"""

from __future__ import annotations

MIB = 1 << 20

MANIFEST_SEALED_MOST = 32 * MIB
"""Sealed bytes of a manifest, which compression makes much smaller than this."""
TABLE_SEALED_MOST = 64 * MIB
"""Sealed bytes of a table: about 20 TiB stored by one run, at 12 bytes for each 4 MiB segment."""
SEGMENT_MOST = 4 * MIB
"""Plaintext bytes of a data segment, at which a writer begins the next one."""
INDEX_SEGMENT_MOST = 40 * MIB
"""Plaintext bytes of an index segment: one entry with as many chunk lists, extents and attributes
as are allowed."""
MANIFEST_MOST = 32 * MIB
"""Plaintext bytes of a manifest: 300,000 block lists, or archives that are referred to."""
TABLE_MOST = 256 * MIB
"""Plaintext bytes of a table: decimal digits, which shrink to a quarter at most."""
SEALED_LEAST = 28
"""Sealed bytes of any frame: its nonce and its tag. So the size of a file bounds its frames."""
STATEMENT_MOST = MIB // 4
"""Plaintext bytes of a statement: 1,000 archives take 35 KB."""
STATEMENT_SEALED_MOST = MIB // 16
"""Sealed bytes of a statement, so that header and frame are one read."""
ARCHIVE_MOST = 2**63 - 1
"""Bytes of an archive: what a file offset can express."""

PLAINTEXT_MOST = {
    b"m": MANIFEST_MOST,
    b"t": TABLE_MOST,
    b"d": SEGMENT_MOST,
    b"i": INDEX_SEGMENT_MOST,
    b"s": STATEMENT_MOST,
}
"""Frame kind -> most bytes that it may unpack to."""
SEALED_MOST = {
    b"m": MANIFEST_SEALED_MOST,
    b"t": TABLE_SEALED_MOST,
    b"d": SEGMENT_MOST + SEGMENT_MOST // 128 + 1024,
    b"i": INDEX_SEGMENT_MOST + INDEX_SEGMENT_MOST // 128 + 1024,
    b"s": STATEMENT_SEALED_MOST,
}
"""Frame kind -> most bytes in the file. zstd adds less than 1/128 to random data."""
