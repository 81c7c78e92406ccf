"""A tiny writer of archives, straight from docs/format.md, for tests that must be able to lie.

It shares nothing with vault/ or rescue.py. What a caller alters before `save` is sealed as it is.
"""

import base64
import hashlib
import json
import os
import struct
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import zstandard
from argon2.low_level import Type, hash_secret_raw
from blake3 import blake3
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

SALT = b"sixteen of salt."
REAL_COST = (64 * 1024, 1, 2)  # Argon2id memory in KiB, passes, lanes: the format's least
COST = REAL_COST  # as the slot states it
PASSWORDS: dict[bytes, str] = {}


def master_key(password: str) -> bytes:
    """Return a master key that the slot of the password wraps, in every archive of this writer."""
    master = hashlib.sha256(b"a random key for " + password.encode()).digest()
    PASSWORDS[master] = password
    return master


@cache
def derived_key(password: str, cost: tuple[int, int, int]) -> bytes:
    secret = unicodedata.normalize("NFC", password).encode()
    memory, passes, lanes = cost
    return hash_secret_raw(secret, SALT, passes, memory, lanes, 32, Type.ID)


def password_slot(master: bytes) -> bytes:
    derived = derived_key(PASSWORDS.get(master, ""), REAL_COST)
    clear = SALT + struct.pack(">III", *COST)
    nonce, cipher = os.urandom(12), AESGCM(derive(derived, b"", b"packrat slot"))
    sealed = cipher.encrypt(nonce, master, b"packrat slot\1" + clear)
    return struct.pack(">BH", 1, 88) + clear + nonce + sealed


def derive(master: bytes, salt: bytes, info: bytes, length: int = 32) -> bytes:
    return HKDF(SHA256(), length, salt, info).derive(master)


def key_file(path: Path, master: bytes) -> Path:
    said = {"packrat_key": 2, "key_id": derive(master, b"", b"packrat commitment")[:8].hex()}
    said |= {"key": master.hex(), "derived_key": derived_key("", REAL_COST).hex()}
    said |= {"slots": base64.b64encode(b"\1" + password_slot(master)).decode()}
    path.write_text(json.dumps(said))
    return path


def named(key: str, name: bytes) -> dict[str, str]:
    """Return a name as text, or in base64 where it is not UTF-8."""
    try:
        return {key: name.decode()}
    except UnicodeDecodeError:
        return {f"{key}64": base64.b64encode(name).decode()}


def order(entry: dict[str, Any]) -> bytes:
    path = (
        base64.b64decode(entry["path64"]) if "path64" in entry else entry.get("path", "").encode()
    )
    return bytes(path.replace(b"/", b"\0"))


@dataclass
class Draft:
    """An archive in the making."""

    master: bytes
    service: str = "svc"
    time: str = "20260102T030405Z"
    id: bytes = field(default_factory=lambda: os.urandom(16))
    frames: dict[int, tuple[bytes, bytes]] = field(default_factory=dict)
    manifest: dict[str, Any] = field(default_factory=dict)
    bases: list["Draft"] = field(default_factory=list)
    slots: list[bytes] = field(default_factory=list)  # after the password's
    blocks: list[dict[str, Any]] = field(default_factory=list)
    pack: Callable[[bytes], bytes] = zstandard.compress
    size: int = 0  # of the file, once it is saved
    says: dict[str, Any] = field(default_factory=dict)  # makes it a statement
    line: str = "11" * 16

    def store(self, kind: bytes, *chunks: bytes) -> list[list[Any]]:
        """Put chunks into one new segment, and refer to them."""
        frame, naming = len(self.frames) + 2, derive(self.master, b"", b"packrat chunk")
        self.frames[frame] = kind, b"".join(chunks)
        ends = [sum(map(len, chunks[: n + 1])) for n in range(len(chunks))]
        return [
            [blake3(c, key=naming).hexdigest(16), self.id.hex(), frame, end - len(c), len(c)]
            for c, end in zip(chunks, ends, strict=True)
        ]

    def name(self) -> str:
        return f"{self.service}-{self.time}-{self.id[:4].hex()}.packrat"

    def parent(self) -> dict[str, str] | None:
        return (
            {"id": self.bases[-1].id.hex(), "name": self.bases[-1].name()} if self.bases else None
        )

    def index(self, entries: list[dict[str, Any]], block: int = 3) -> None:
        """Store the index and describe it in the manifest."""
        entries = sorted(entries, key=order)
        blocks = [entries[n : n + block] for n in range(0, len(entries), block)]
        stored = self.store(b"i", *(json.dumps(part).encode() for part in blocks))
        self.blocks = [
            {k.replace("path", "first"): v for k, v in b[0].items() if "path" in k}
            | {"entries": len(b), "chunk": place}
            for b, place in zip(blocks, stored, strict=True)
        ]
        self.manifest = {
            "format": 2,
            "id": self.id.hex(),
            "service": self.service,
            "host": "here",
            "time": self.time,
            "kind": "incremental" if self.bases else "full",
            "line": self.line,
            "parent": self.parent(),
            "sequence": len(self.bases) + 1,
            "pins": [],
            "accepted": [],
            "gone": [],
            "barrier": 0,
            "roots": [{"label": "", "kind": "folder", "source": "/srv/svc"}],
            "entries": len(entries),
            "files": sum(entry.get("type") != "dir" for entry in entries),
            "size": sum(entry.get("size", 0) for entry in entries),
            "read": 0,
            "payload": sum(len(plain) for _, plain in self.frames.values()),
            "missed": 0,
            "normal": [0, 0],
            "index": self.listed(self.blocks),
            "archives": [
                {"id": b.id.hex(), "name": b.name(), "size": b.size, "used": 1} for b in self.bases
            ],
        }

    def listed(self, items: list[Any], length: int = 2) -> list[list[Any]]:
        """Store items in lists of this length, and refer to those."""
        parts = [items[n : n + length] for n in range(0, len(items), length)]
        return self.store(b"i", *(json.dumps(part).encode() for part in parts)) if parts else []

    def save(self, folder: Path, *, table: Any = None) -> Path:
        """Seal everything, the frames in another order than that of their numbers."""
        slots = bytes([len(self.slots) + 1]) + password_slot(self.master) + b"".join(self.slots)
        fields = struct.pack(">8sHH16s", b"PACKRAT\n", 2, 68 + len(slots), self.id)
        fields += derive(self.master, b"", b"packrat commitment") + slots
        header = fields + hashlib.sha256(fields).digest()[:8]
        cipher = AESGCM(derive(self.master, self.id, b"packrat archive"))

        def seal(number: int, kind: bytes, plain: bytes) -> bytes:
            bound = hashlib.sha256(header).digest() + number.to_bytes(8, "big") + kind
            packed = self.pack(plain)
            nonce = os.urandom(12)
            return nonce + cipher.encrypt(nonce, packed, bound)

        if self.says:
            folder.mkdir(exist_ok=True, parents=True)
            path = folder / self.name().replace(".packrat", ".statement")
            path.write_bytes(header + seal(0, b"s", json.dumps(self.says).encode()))
            return path
        body, places = header, {}
        for number, (kind, plain) in sorted(self.frames.items(), reverse=True):
            sealed = seal(number, kind, plain)
            places[number], body = [len(body), len(sealed)], body + sealed
        table = table or {"frames": [places[number] for number in sorted(places)]}
        manifest = seal(0, b"m", json.dumps(self.manifest).encode())
        tail = seal(1, b"t", table if isinstance(table, bytes) else json.dumps(table).encode())
        sizes = struct.pack(">QII", len(body), len(manifest), len(tail))
        body += manifest + tail + sizes + self.id[:8] + b"TARKCAP\n"
        folder.mkdir(exist_ok=True, parents=True)
        self.size = len(body)
        path = folder / self.name()
        path.write_bytes(body)
        return path
