"""Key slots: the master key, wrapped once for each way to open an archive.

See "Slots" in docs/format.md. The slots of a key are made once and copied to every header.
"""

from __future__ import annotations

import struct
from typing import ClassVar

import msgspec
from blake3 import blake3
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vault.archive.derivation import KEY_BYTES, Derivation, hkdf
from vault.errors import Damaged

SLOTS_MOST = 16
NONCE_BYTES, TAG_BYTES = 12, 16

_HEAD = struct.Struct(">BH")
_PASSWORD = struct.Struct(">16sIII")
_PASSWORD_BYTES = _PASSWORD.size + NONCE_BYTES + KEY_BYTES + TAG_BYTES


class PasswordSlot(msgspec.Struct, frozen=True):
    """Slot that a password opens."""

    KIND: ClassVar[int] = 1

    derivation: Derivation
    wrapped: bytes
    """Nonce, encrypted master key, tag."""

    @classmethod
    def make(cls, derivation: Derivation, derived: bytes, master: bytes) -> PasswordSlot:
        """Wrap the master key with the key `derived` from the password."""
        clear = _clear(derivation)
        key = hkdf(derived, b"", b"packrat slot nonce")
        nonce = blake3(clear + master, key=key).digest(NONCE_BYTES)
        sealed = AESGCM(hkdf(derived, b"", b"packrat slot")).encrypt(nonce, master, clear)
        return cls(derivation, nonce + sealed)

    def unwrap(self, derived: bytes) -> bytes | None:
        """Return the master key, or None if it was wrapped with another key."""
        nonce, sealed = self.wrapped[:NONCE_BYTES], self.wrapped[NONCE_BYTES:]
        cipher = AESGCM(hkdf(derived, b"", b"packrat slot"))
        try:
            return cipher.decrypt(nonce, sealed, _clear(self.derivation))
        except InvalidTag:
            return None

    @property
    def body(self) -> bytes:
        """Content of the slot in a header."""
        return _parameters(self.derivation) + self.wrapped


class RecipientSlot(msgspec.Struct, frozen=True):
    """Slot that the holder of a private key opens: an age file whose content is the master key."""

    KIND: ClassVar[int] = 2

    body: bytes
    """The age file, as it is."""

    @classmethod
    def make(cls, recipient: str, master: bytes) -> RecipientSlot:
        """Encrypt the master key to an age recipient (`age1…` or an SSH key).

        Raises ValueError for a text that is no recipient.
        """
        import pyrage

        parse = pyrage.ssh.Recipient if recipient.startswith("ssh-") else pyrage.x25519.Recipient
        try:
            return cls(pyrage.encrypt(master, [parse.from_str(recipient)]))
        except (pyrage.RecipientError, pyrage.EncryptError) as error:
            raise ValueError(f"{recipient!r} is not an age recipient: {error}") from error


Slot = PasswordSlot | RecipientSlot


def pack_slots(slots: tuple[Slot, ...]) -> bytes:
    """Return the slots as they are in a header."""
    packed = [_HEAD.pack(slot.KIND, len(slot.body)) + slot.body for slot in slots]
    return bytes([len(slots)]) + b"".join(packed)


def unpack_slots(data: bytes, where: str) -> tuple[Slot, ...]:
    """Parse what `pack_slots` returned; raises Damaged, naming `where`."""
    found: list[Slot] = []
    at = 1
    for _ in range(data[0] if data else 0):
        if at + _HEAD.size > len(data):
            break
        kind, length = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        found.append(_unpack(kind, data[at : at + length], where))
        at += length
    if at != len(data) or not 1 <= len(found) == data[0] <= SLOTS_MOST:
        raise Damaged(where, "its key slots are damaged")
    return tuple(found)


def _unpack(kind: int, body: bytes, where: str) -> Slot:
    if kind == RecipientSlot.KIND and body:
        return RecipientSlot(body)
    if kind not in (PasswordSlot.KIND, RecipientSlot.KIND):
        raise Damaged(where, f"has a key slot of an unknown kind ({kind})")
    if kind == RecipientSlot.KIND or len(body) != _PASSWORD_BYTES:
        raise Damaged(where, "its key slots are damaged")
    derivation = Derivation(*_PASSWORD.unpack_from(body))
    derivation.check(where)
    return PasswordSlot(derivation, body[_PASSWORD.size :])


def _parameters(d: Derivation) -> bytes:
    return _PASSWORD.pack(d.salt, d.memory, d.passes, d.lanes)


def _clear(derivation: Derivation) -> bytes:
    """Return what a password slot authenticates besides the master key."""
    return b"packrat slot" + bytes([PasswordSlot.KIND]) + _parameters(derivation)
