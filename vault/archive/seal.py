"""Frames: compression and sealing, and the reverse. Both halves release the GIL."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import zstandard
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.archive.limits import PLAINTEXT_MOST, SEALED_MOST
from vault.archive.slots import NONCE_BYTES, TAG_BYTES
from vault.errors import Damaged, VaultError

if TYPE_CHECKING:
    from vault.archive.format import Kind
    from vault.archive.header import Header
    from vault.archive.keys import Keys


_local = threading.local()


class Sealer:
    """Sealer and opener of the frames of one archive. Safe to use from several threads."""

    def __init__(self, keys: Keys, header: Header, archive: str) -> None:
        self._aead = AESGCM(keys.archive_key(header.archive_id))
        self._nonce_key = keys.nonce_key(header.archive_id)
        self._header_hash = header.hash
        self._archive = archive

    def seal(self, number: int, kind: Kind, compressed: bytes) -> bytes:
        """Encrypt a frame and return it after its nonce.

        The nonce is a keyed hash of everything that is sealed. A virtual machine that is set back
        to a snapshot may choose the same archive id twice: other content then has another nonce.
        Raises VaultError for a frame that `open` or `unpack` would refuse.
        """
        size, most = zstandard.frame_content_size(compressed), PLAINTEXT_MOST[kind]
        if size > most or NONCE_BYTES + len(compressed) + TAG_BYTES > SEALED_MOST[kind]:
            raise VaultError(
                f"{self._archive}: frame {number} would have {size:,} bytes,"
                f" {len(compressed):,} compressed; the format allows {most:,} and"
                f" {SEALED_MOST[kind]:,}",
                "nothing was published; split the service into several",
            )
        bound = self._bound(number, kind)
        nonce = blake3(bound, key=self._nonce_key).update(compressed).digest(NONCE_BYTES)
        return nonce + self._aead.encrypt(nonce, compressed, bound)

    def open(self, number: int, kind: Kind, sealed: bytes | memoryview) -> bytes:
        """Decrypt what `seal` returned; raises Damaged."""
        # From 2 GiB on the library panics, and its panic is not an Exception.
        if len(sealed) > SEALED_MOST[kind]:
            raise Damaged(self._archive, f"frame {number} is larger than the format allows")
        nonce, content = sealed[:NONCE_BYTES], memoryview(sealed)[NONCE_BYTES:]
        try:
            return self._aead.decrypt(nonce, content, self._bound(number, kind))
        except (InvalidTag, ValueError):
            raise Damaged(self._archive, f"frame {number} is damaged") from None

    def _bound(self, number: int, kind: bytes) -> bytes:
        return self._header_hash + number.to_bytes(8) + kind


def compress(data: bytes | bytearray, level: int) -> bytes:
    """Compress data to one zstd frame that states its content size."""
    compressors = _local.__dict__.setdefault("compressors", {})
    if level not in compressors:
        compressors[level] = zstandard.ZstdCompressor(level=level)
    packed: bytes = compressors[level].compress(data)
    return packed


def unpack(archive: str, number: int, kind: Kind, compressed: bytes) -> bytes:
    """Decompress the content of a frame; raises Damaged, naming the archive."""
    try:
        size = zstandard.frame_content_size(compressed)
        if not 0 <= size <= PLAINTEXT_MOST[kind]:
            raise Damaged(archive, f"frame {number} claims to have {size} bytes")
        return _decompressor().decompress(compressed, allow_extra_data=False)
    except zstandard.ZstdError:
        raise Damaged(archive, f"frame {number} does not decompress") from None


def _decompressor() -> zstandard.ZstdDecompressor:
    # A zstandard context must not be shared between threads, and is slow to create.
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor()
    found: zstandard.ZstdDecompressor = _local.decompressor
    return found
