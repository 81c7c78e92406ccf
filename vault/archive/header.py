"""Header: the clear beginning of an archive. See "Header" in docs/format.md."""

from __future__ import annotations

import hashlib
import struct
from functools import cached_property
from typing import Final

import msgspec

from vault.archive.keys import Keys, commitment_to
from vault.archive.slots import PasswordSlot, Slot, pack_slots, unpack_slots
from vault.errors import Damaged

VERSION: Final = 2
HEADER_MAGIC = b"PACKRAT\n"
HEADER_MOST = 8 << 10
"""Bytes of a header: 16 slots of about 500 bytes, so that one read gets all of it."""
CHECKSUM_BYTES = 8

_START = struct.Struct(">8sHH16s32s")
HEADER_LEAST = _START.size + 1 + CHECKSUM_BYTES


class Header(msgspec.Struct, frozen=True, dict=True):
    """Clear beginning of an archive; with the password, it is enough to open the archive."""

    archive_id: bytes
    commitment: bytes
    slots: tuple[Slot, ...]

    @property
    def key_id(self) -> bytes:
        """8 bytes that identify the key to people."""
        return self.commitment[:8]

    @cached_property
    def packed(self) -> bytes:
        """The header as it is in the file."""
        slots = pack_slots(self.slots)
        length = _START.size + len(slots) + CHECKSUM_BYTES
        if length > HEADER_MOST:
            raise ValueError(f"the key slots take {length} bytes, a header has {HEADER_MOST}")
        head = _START.pack(HEADER_MAGIC, VERSION, length, self.archive_id, self.commitment) + slots
        return head + _checksum(head)

    @cached_property
    def hash(self) -> bytes:
        """SHA-256 of the header; every frame authenticates it."""
        return hashlib.sha256(self.packed).digest()

    @property
    def size(self) -> int:
        """Bytes of the header in the file."""
        return len(self.packed)

    @property
    def password_slots(self) -> list[PasswordSlot]:
        """The slots that a password may open."""
        return [slot for slot in self.slots if isinstance(slot, PasswordSlot)]

    def keys(self, slot: PasswordSlot, password: str) -> Keys | None:
        """Return the keys if a password opens this slot of the header.

        Raises:
            MemoryError: The machine does not have the memory that the slot requires.
        """
        derived = slot.derivation.derive(password)
        master = slot.unwrap(derived)
        if master is None or commitment_to(master) != self.commitment:
            return None
        first = (slot, *(other for other in self.slots if other != slot))
        return Keys(master, derived, first)

    @classmethod
    def unpack(cls, data: bytes, archive: str) -> Header:
        """Parse and check the beginning of a file; raises Damaged naming the archive."""
        if len(data) < HEADER_LEAST or not data.startswith(HEADER_MAGIC):
            raise Damaged(archive, "does not begin as a packrat archive")
        _, version, length, archive_id, commitment = _START.unpack_from(data)
        if not HEADER_LEAST <= length <= HEADER_MOST or len(data) < length:
            raise Damaged(archive, "its header is damaged")
        head, check = data[: length - CHECKSUM_BYTES], data[length - CHECKSUM_BYTES : length]
        if _checksum(head) != check:
            raise Damaged(archive, "its header is damaged")
        if version != VERSION:
            raise Damaged(archive, f"has format version {version}", "a newer packrat reads it")
        return cls(archive_id, commitment, unpack_slots(head[_START.size :], archive))


def _checksum(head: bytes) -> bytes:
    """Return what tells damage from another key; frames authenticate the header."""
    return hashlib.sha256(head).digest()[:CHECKSUM_BYTES]
