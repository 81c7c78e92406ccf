#!/usr/bin/python3
"""Rescue program: restores Packrat archives on a bare machine without Packrat.

It needs a copy of one destination and the password or the key file. It implements docs/format.md,
version 2, and shares no code with Packrat. Fetch the whole folder of a service, because an archive
refers to older ones beside it. Then, on Debian 12:

    apt-get install python3-cryptography python3-zstandard python3-argon2
    python3 rescue.py --list gitea/gitea-20261123T020000Z-1a2b3c4d.packrat
    python3 rescue.py gitea/gitea-20261123T020000Z-1a2b3c4d.packrat /srv/gitea

Files that end in .statement say which backups were pinned, pruned and so on: --list prints them.
Without the password, with the private key of an age recipient (apt-get install age):

    python3 rescue.py --slot 2 gitea/gitea-20261123T020000Z-1a2b3c4d.packrat slot.age
    age --decrypt --identity PRIVATE_KEY_FILE --output master slot.age
    python3 rescue.py --key-file master gitea/gitea-20261123T020000Z-1a2b3c4d.packrat /srv/gitea

TARGET must be absent or empty; several archives are restored to TARGET/SERVICE each. Only root can
restore the owners of files. Exit status: 0 done (attributes that could not be set are counted),
1 damaged, incomplete or not writable, 2 usage, 7 wrong password or key, 130 interrupted.
"""
# ruff: noqa: T201 - a program: it prints

import argparse
import base64
import contextlib
import functools
import getpass
import hashlib
import io
import json
import os
import re
import signal
import stat
import struct
import sys
import unicodedata
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate, chain
from typing import Any, NamedTuple, TypeVar

try:
    import zstandard
    from argon2.exceptions import HashingError
    from argon2.low_level import Type, hash_secret_raw
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.hazmat.primitives.kdf.hkdf import HKDF
except ImportError as missing:
    packages = "python3-cryptography python3-zstandard python3-argon2"
    sys.exit(f"rescue.py: {missing}; on Debian: apt-get install {packages}")

T = TypeVar("T")
MIB = 1 << 20
KINDS = {b"m": "manifest", b"t": "table", b"s": "statement"}
KINDS |= {b"d": "data segment", b"i": "index segment"}
# Limits of the format, explained in docs/format.md: bytes of a frame's content, and bytes of the
# sealed frame in the file. They are needed because lengths in the trailer are not authenticated.
LIMITS = {b"m": 32 * MIB, b"t": 256 * MIB, b"d": 4 * MIB, b"i": 40 * MIB, b"s": MIB // 4}
SEALED_LIMITS = {b"m": 32 * MIB, b"t": 64 * MIB, b"s": MIB // 16}
SEALED_LIMITS |= {kind: LIMITS[kind] + LIMITS[kind] // 128 + 1024 for kind in (b"d", b"i")}
TYPES = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "symlink": stat.S_IFLNK}
TYPES |= {"fifo": stat.S_IFIFO, "char": stat.S_IFCHR, "block": stat.S_IFBLK}
TYPES["stream"] = stat.S_IFREG
REGULAR = "file", "stream"
ROOTS = {"folder": False, "volume": False, "dump": True, "definition": True}  # has streams
SAYS = "pin", "unpin", "pruned", "forgotten", "accepted"
TIME = (-(2**63) * 10**9, 2**63 * 10**9 - 1)  # nanoseconds that utimensat(2) takes
ID, TIME_FORM = "[0-9a-f]{32}", "[0-9]{8}T[0-9]{6}Z"
NUMBERS = ("mode", "uid", "gid", "mtime", "ctime", "inode", "size")
NEVER_NULL = (
    *NUMBERS,
    "path",
    "type",
    "xattrs",
    "xattrs64",
    "chunks",
    "lists",
    "unsettled",
    "average",
)
ONLY = {"size": REGULAR, "lists": REGULAR, "device": ("char", "block")}  # keys of these types
NO_STREAM = ("inode", "link", "xattrs", "xattrs64")  # keys that a stream does not have
RANGES = {  # smallest and largest value of each number in an entry
    "mode": (0, 0o7777),
    "uid": (0, 2**32 - 2),
    "gid": (0, 2**32 - 2),
    "mtime": TIME,
    "ctime": TIME,
    "inode": (0, 2**64 - 1),
    "size": (0, 2**63 - 1),
    "average": (64 << 10, 1 << 20),
    "link": (0, 2**64 - 1),
    "major": (0, 2**12 - 1),
    "minor": (0, 2**20 - 1),
}
PATH_BYTES, TARGET_BYTES, XATTR_NAME_BYTES, XATTRS_BYTES = 64 << 10, 4095, 255, 1 << 20
LABEL_BYTES, ROOTS_MOST, SEQUENCE_LAST = 255, 1000, 2**53 - 1
ARCHIVES_SAID, TEXT_BYTES = 1000, 4096  # of a statement
VERSION, HEADER_MOST, SLOTS_MOST, KEY_BYTES = 2, 8 << 10, 16, 32
PASSWORD, AGE = 1, 2  # kinds of key slots
COSTS = (64 * 1024, 1, 1), (4096 * 1024, 16, 64)  # least and most of memory, passes, lanes
# What one entry, list or block may hold.
REFERENCES_MOST, LISTED_FROM, LISTS_MOST = 16_000_000, 64, 250_000
LIST_MOST, BLOCK_ENTRIES, BLOCK_BYTES = 256, 256, 1 << 20
LISTS_TOGETHER = 1000  # chunk lists in memory at the same time
HANDLES = 64  # number of folders that are kept open
FOREIGN = (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, RecursionError)
USAGE, WRONG_KEY, INTERRUPTED = 2, 7, 130


class RescueError(Exception):
    """Error that ends the rescue, with its exit status."""

    def __init__(self, message: str, status: int = 1) -> None:
        super().__init__(message)
        self.status = status


@contextlib.contextmanager
def reading(where: str) -> Iterator[None]:
    """Turn every exception that invalid data can cause into a RescueError with its location."""
    try:
        yield
    except FOREIGN as error:
        detail = f"no {error}" if isinstance(error, KeyError) else error
        raise RescueError(f"{where} is not as the format says: {detail}") from error


def show(name: bytes) -> str:
    """Return a name with unprintable characters escaped."""
    text = name.decode(errors="backslashreplace")
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def number(value: Any, low: int = 0, high: int = 2**63 - 1) -> int:
    """Return an integer within bounds; raise ValueError for anything else."""
    if type(value) is not int or not low <= value <= high:
        raise ValueError(f"{value!r:.40} is no number from {low} to {high}")
    return value


def pair(value: Any, *names: str) -> tuple[int, int]:
    """Return two integers within the ranges of these names."""
    first, second = value
    return number(first, *RANGES[names[0]]), number(second, *RANGES[names[-1]])


def name_of(item: dict[str, Any], key: str) -> bytes:
    """Return a name, which is text under `key` or base64 under `key` + "64"."""
    if item.get(f"{key}64") is not None:
        return base64.b64decode(item[f"{key}64"], validate=True)
    return bytes(item.get(key, "").encode())


def match(pattern: str, value: Any) -> str:
    """Return a text that matches a pattern as a whole; raise ValueError for anything else."""
    if not re.fullmatch(pattern, value):
        raise ValueError(f"{value!r:.60} is not of the form {pattern}")
    return str(value)


def list_of(value: Any) -> list[Any]:
    """Return a list; raise TypeError for anything else."""
    if not isinstance(value, list):
        raise TypeError(f"{value!r:.60} is no list")
    return value


def text(value: Any, most: int = 2**31) -> str:
    """Return a text of UTF-8 with at most this many bytes."""
    if not isinstance(value, str) or len(value.encode()) > most:
        raise ValueError(f"{value!r:.60} is no text of at most {most} bytes")
    return value


# Keys


def derive(key: bytes, salt: bytes, purpose: bytes, length: int = 32) -> bytes:
    """Return the key that is derived for a purpose."""
    return bytes(HKDF(SHA256(), length, salt, purpose).derive(key))


def commitment(master: bytes) -> bytes:
    """Return the commitment to a master key, which is in the header of archives."""
    return derive(master, b"", b"packrat commitment")


def read_key(path: str) -> bytes:
    """Read the master key from the key file, or from a file that holds just its 32 bytes."""
    with open(path, "rb") as file, reading(path):
        content = file.read(64 << 10)
        if len(content) == KEY_BYTES:
            return content
        said = json.loads(content)
        master = bytes.fromhex(said["key"])
        if commitment(master)[:8].hex() != said["key_id"]:
            raise ValueError("its key is not the one that its key_id names")
    return master


def read_password(path: str | None) -> bytes:
    """Return the password from the terminal, or from the first line of a file."""
    with reading(path or "the password"):
        if path is None:
            line = getpass.getpass("Password: ")
        else:
            with open(path, encoding="utf-8", errors="surrogateescape", newline="") as file:
                line = file.readline().rstrip("\r\n")
        return unicodedata.normalize("NFC", line).encode("utf-8", "surrogateescape")


@functools.cache
def stretch(password: bytes, salt: bytes, memory: int, passes: int, lanes: int) -> bytes:
    """Return the key derived from a password with the parameters of a slot."""
    try:
        return bytes(hash_secret_raw(password, salt, passes, memory, lanes, 32, Type.ID))
    except HashingError as error:
        raise RescueError(f"Argon2 with {memory} KiB of memory: {error}") from error


class Slot(NamedTuple):
    """One way to open an archive: a kind, 1 for a password or 2 for an age file, and its data."""

    kind: int
    body: bytes


def slots(path: str, header: bytes) -> list[Slot]:
    """Return the key slots in a header, checked."""
    with reading(f"{path}: the key slots in the header"):
        found, rest = [], header[61:-8]
        for _ in range(number(header[60], 1, SLOTS_MOST)):
            kind, length = struct.unpack(">BH", rest[:3])
            body, rest = rest[3 : 3 + length], rest[3 + length :]
            expected = 88 if kind == PASSWORD else max(length, 1)
            if not len(body) == length == expected:
                raise ValueError(f"slot {len(found) + 1} has {length} bytes")
            found.append(Slot(number(kind, PASSWORD, AGE), body))
            if kind == PASSWORD:
                for value, low, high in zip(costs(found[-1]), *COSTS, strict=True):
                    number(value, low, high)
        if rest:
            raise ValueError(f"{len(rest)} bytes follow the last one")
        return found


def costs(slot: Slot) -> tuple[int, int, int]:
    """Return the memory in KiB, passes and lanes of Argon2 of a password slot."""
    memory, passes, lanes = struct.unpack(">III", slot.body[16:28])
    return memory, passes, lanes


def unlock(path: str, header: bytes, key: bytes | None, password: bytes) -> bytes:
    """Return the master key of an archive; raise RescueError if the password or key is wrong."""
    masters = [key] if key else []
    for slot in slots(path, header):
        if not key and slot.kind == PASSWORD:
            derived = stretch(password, slot.body[:16], *costs(slot))
            cipher = AESGCM(derive(derived, b"", b"packrat slot"))
            clear = b"packrat slot\1" + slot.body[:28]
            with contextlib.suppress(InvalidTag):
                masters.append(cipher.decrypt(slot.body[28:40], slot.body[40:], clear))
    for master in masters:
        if commitment(master) == header[28:60]:
            return master
    raise RescueError(f"{path}: wrong password or key: it is sealed under another", WRONG_KEY)


# One archive


def read(path: str, offset: int, length: int) -> bytes:
    """Read a complete range of a file."""
    try:
        with open(path, "rb") as file:
            file.seek(offset)
            data = file.read(length)
    except OSError as error:
        raise RescueError(f"{path}: {error.strerror}, from byte {offset}") from error
    if len(data) < length:
        raise RescueError(f"{path} is cut off: it ends at byte {offset + len(data)}")
    return data


def read_header(path: str) -> bytes:
    """Read and check the header, apart from its key."""
    if os.path.basename(path).startswith("."):
        raise RescueError(f"{path}: a name that begins with a dot is that of an unfinished archive")
    header = read(path, 0, min(os.path.getsize(path), HEADER_MOST))
    if header[:8] != b"PACKRAT\n":
        raise RescueError(f"{path} is no packrat archive: it does not begin with PACKRAT")
    version, length = struct.unpack(">HH", header[8:12].ljust(4, b"\0"))
    header = header[:length]
    if len(header) != length or header[-8:] != hashlib.sha256(header[:-8]).digest()[:8]:
        raise RescueError(f"{path}: the header, bytes 0 to {length - 1}, is damaged")
    if version != VERSION:
        raise RescueError(f"{path}: the header is not of format version {VERSION}")
    slots(path, header)
    return header


def check_roots(roots: list[Any]) -> dict[str, bool]:
    """Return label -> whether it has streams, {} for a single root without a label."""
    number(len(list_of(roots)), 1, ROOTS_MOST)
    found = {text(root["label"]): ROOTS[root["kind"]] for root in roots}
    for root in roots:
        text(root["source"])
    if found == {"": False} and len(roots) == 1:
        return {}
    for label in found:
        wrong = label in ("", ".", "..") or "/" in label or "\0" in label
        if wrong or len(label.encode()) > LABEL_BYTES or len(found) < len(roots):
            raise ValueError(f"it has roots with the label {label!r:.40}")
    return found


def check_lineage(said: dict[str, Any]) -> None:
    """Refuse a manifest with an impossible line or impossible statements in force."""
    match(ID, said["line"])
    text(said["host"])
    number(said["sequence"], 1, SEQUENCE_LAST)
    if said["parent"] is not None:
        match(ID, said["parent"]["id"])
        text(said["parent"]["name"])
    for key in ("pins", "accepted", "gone"):
        for one in list_of(said.get(key, [])):
            match(ID, one["archive"])
            match(TIME_FORM, one["time"])
            if key == "pins":
                text(one["text"])
            elif key == "gone":
                match("pruned|forgotten", one["how"])


def check_numbers(said: dict[str, Any]) -> None:
    """Refuse a manifest with impossible totals, although no restore needs them."""
    for key in ("barrier", "entries", "files", "size", "read", "payload", "missed"):
        number(said[key])
    files, size = list_of(said["normal"])
    number(files)
    number(size)
    for other in list_of(said["archives"]):
        match(ID, other["id"])
        text(other["name"])
        number(other["size"])
        number(other["used"])


class Sealed:
    """A file whose frames are sealed with the key of its header."""

    def __init__(self, path: str, header: bytes, master: bytes) -> None:
        self.path, self.name, self.id = path, os.path.basename(path), header[12:28].hex()
        self.size = os.path.getsize(path)
        self.cipher = AESGCM(derive(master, header[12:28], b"packrat archive"))
        self.binding = hashlib.sha256(header).digest()

    def unseal(self, frame: int, offset: int, length: int, kind: bytes) -> bytes:
        """Read, authenticate and decompress a frame."""
        where = f"{self.path}: {KINDS[kind]} (frame {frame}) at byte {offset}"
        limit = LIMITS[kind]
        if length > SEALED_LIMITS[kind]:
            raise RescueError(f"{where} is larger than the format allows")
        bound = self.binding + frame.to_bytes(8, "big") + kind
        sealed = read(self.path, offset, length)
        try:
            try:
                packed = self.cipher.decrypt(sealed[:12], sealed[12:], bound)
            except InvalidTag:  # read again: a bit may have flipped in transit
                sealed = read(self.path, offset, length)
                packed = self.cipher.decrypt(sealed[:12], sealed[12:], bound)
            size = zstandard.frame_content_size(packed)
            number(size, 0, limit)
            plain = zstandard.ZstdDecompressor().decompress(packed, allow_extra_data=False)
            number(len(plain), size, size)
        except InvalidTag as error:
            raise RescueError(f"{where} is damaged, or not of this place") from error
        except (ValueError, zstandard.ZstdError) as error:
            raise RescueError(f"{where} does not decompress: {error}") from error
        return plain


class Statement(Sealed):
    """Statement of somebody about archives of a line."""

    def __init__(self, path: str, header: bytes, master: bytes) -> None:
        super().__init__(path, header, master)
        with reading(f"{path}: the statement"):
            length = self.size - len(header)
            said = json.loads(self.unseal(0, len(header), length, b"s"))
            if self.name != f"{said['service']}-{said['time']}-{self.id[:8]}.statement":
                raise ValueError(f"it is that of {said['service']}-{said['time']}")
            if (said["format"], said["id"]) != (VERSION, self.id):
                raise ValueError(f"its format is not {VERSION}, or its id is not the header's")
            match(ID, said["line"])
            text(said["service"] + said["host"])
            archives = [match(ID, archive) for archive in list_of(said["archives"])]
            number(len(archives), 1, ARCHIVES_SAID)
            time, says = match(TIME_FORM, said["time"]), match("|".join(SAYS), said["says"])
            why = text(said.get("text", ""), TEXT_BYTES)
        about = " ".join(archive[:8] for archive in archives)
        self.sentence = f"{time} {says} {about}: {show(why.encode())}"


class Archive(Sealed):
    """An archive with a valid header, trailer, manifest, table and name."""

    def __init__(self, path: str, header: bytes, master: bytes) -> None:
        super().__init__(path, header, master)
        end = max(self.size - 32, len(header))
        offset, length, rest, start_of_id, magic = struct.unpack(">QII8s8s", read(path, end, 32))
        if magic != b"TARKCAP\n" or start_of_id != header[12:20]:
            raise RescueError(f"{path}: the trailer at byte {end} is damaged, or the file cut off")
        if offset + length + rest != end:
            raise RescueError(f"{path}: the trailer at byte {end} does not sum up to the file")
        with reading(f"{path}: the manifest at byte {offset}"):
            self.manifest = said = json.loads(self.unseal(0, offset, length, b"m"))
            self.service: str = said["service"]
            if self.name != f"{self.service}-{said['time']}-{self.id[:8]}.packrat":
                raise ValueError(f"it is that of {self.service}-{said['time']}, not of this name")
            if not re.fullmatch(r"[^/]+-[0-9]{8}T[0-9]{6}Z-[0-9a-f]{8}\.packrat", self.name):
                raise ValueError("it has no service or no time")
            if (said["format"], said["id"]) != (VERSION, self.id):
                raise ValueError(f"its format is not {VERSION}, or its id is not the header's")
            if said["kind"] != ("incremental" if said["archives"] else "full"):
                raise ValueError("its kind is not what its list of archives says")
            check_lineage(said)
            check_numbers(said)
            self.roots = check_roots(said["roots"])
        with reading(f"{path}: the table at byte {offset + length}"):
            plain = self.unseal(1, offset + length, rest, b"t")
            number(plain.count(b"["), 0, 1 + self.size // 28)  # a sealed frame has more bytes
            table = json.loads(plain)
            self.frames = [(number(place), number(size, 1)) for place, size in table["frames"]]
            position = len(header)
            for place, size in [*sorted(self.frames), (offset, 0)]:
                if place != position:
                    raise ValueError(f"after byte {position} comes byte {place}")
                position += size


# A backup: an archive and the archives that it refers to


class Reference(NamedTuple):
    """Location of a chunk: archive, frame, range in the frame's content."""

    archive: str
    frame: int
    offset: int
    length: int


class Entry:
    """One path of the backup, checked as far as possible without other entries."""

    def __init__(self, item: dict[str, Any], reference: Callable[..., Reference]) -> None:
        item = {key: value for key, value in item.items() if value is not None or key in NEVER_NULL}
        self.path, self.target = name_of(item, "path"), name_of(item, "target")
        self.type: str = item.get("type", "file")
        numbers = {name: number(item.get(name, 0), *RANGES[name]) for name in NUMBERS}
        self.mode, self.uid, self.gid = numbers["mode"], numbers["uid"], numbers["gid"]
        self.mtime, self.size = numbers["mtime"], numbers["size"]
        size = self.size
        self.device = os.makedev(*pair(item.get("device", (0, 0)), "major", "minor"))
        self.link = pair(item["link"], "link") if "link" in item else None
        xattrs = {name.encode(): value for name, value in item.get("xattrs", {}).items()}
        for name, value in item.get("xattrs64", {}).items():
            xattrs[base64.b64decode(name, validate=True)] = value
        self.xattrs = {k: base64.b64decode(v, validate=True) for k, v in xattrs.items()}
        self.chunks = [reference(chunk) for chunk in item.get("chunks", ())]
        self.lists = [reference(place, b"i") for place in item.get("lists", ())]
        average = number(item.get("average", MIB), *RANGES["average"])
        self.extents: list[tuple[int, int, int]] = []  # place in data, place in file, length
        whole = [[0, size]] if size else []
        data = end = 0
        for start, length in item.get("extents", whole):
            self.extents.append((data, number(start, end, size), number(length, 1, size - start)))
            data, end = data + length, start + length
        shown = show(self.path)
        if not self.lists:
            self.check_data(self.chunks)
        if self.type not in TYPES or (self.type == "symlink") != bool(self.target):
            raise ValueError(f"'{shown}' has the type {self.type!r:.40}")
        foreign = [key for key, types in ONLY.items() if item.get(key) and self.type not in types]
        if self.type == "stream":
            foreign += [key for key in NO_STREAM if item.get(key)]
        if foreign or (self.link and self.type == "dir") or ("extents" in item and not self.file):
            raise ValueError(f"'{shown}' is a {self.type} with {foreign or 'link or extents'}")
        if average != MIB and not self.file:
            raise ValueError(f"'{shown}' is a {self.type} with an average")
        if b"\0" in self.target or len(self.target) > TARGET_BYTES:
            raise ValueError(f"'{shown}' is a link to nowhere")
        if len(self.chunks) > LISTED_FROM or len(self.lists) > LISTS_MOST:
            raise ValueError(f"'{shown}' has more chunks or lists than are allowed")
        if (self.chunks and self.lists) or any(one.length > BLOCK_BYTES for one in self.lists):
            raise ValueError(f"'{shown}' has chunks and lists, or a list that is too long")
        if len(self.path) > PATH_BYTES:
            raise ValueError(f"'{shown:.80}' has a longer path than is allowed")
        for attribute in self.xattrs:
            if b"\0" in attribute or not 0 < len(attribute) <= XATTR_NAME_BYTES:
                raise ValueError(f"'{shown}' has an attribute that cannot be")
        if sum(len(name) + len(value) for name, value in self.xattrs.items()) > XATTRS_BYTES:
            raise ValueError(f"'{shown}' has more attributes than are allowed")
        self.unsettled = bool(item.get("unsettled"))
        self.twin: Entry | None = None  # the earlier entry of which this is a hard link
        self.made = True

    @property
    def file(self) -> bool:
        """True if it is a regular file."""
        return self.type == "file"

    def check_data(self, chunks: Iterable[Reference]) -> None:
        """Raise ValueError unless chunks are the data of the extents, each within one of them."""
        parts, left = iter(self.extents), 0
        for chunk in chunks:
            left = left or next(parts, (0, 0, 0))[2]
            if chunk.length > left:
                raise ValueError(f"a chunk of '{show(self.path)}' reaches over a hole or the end")
            left -= chunk.length
        if left or next(parts, None):
            raise ValueError(f"the chunks of '{show(self.path)}' are not all of its data")

    def content(self) -> tuple[object, ...]:
        """Return the values that all hard links of a file have in common."""
        looks = self.type, self.mode, self.uid, self.gid, self.mtime, self.xattrs
        return *looks, self.size, self.target, self.device, self.extents, self.chunks, self.lists


class Backup:
    """An archive with the older archives that it needs."""

    def __init__(self, path: str, key: bytes | None, password: bytes) -> None:
        header = read_header(path)
        master = unlock(path, header, key, password)
        self.archive = Archive(path, header, master)
        self.archives = {self.archive.id: self.archive}
        with reading(f"{path}: the list of archives in the manifest"):
            for item in self.archive.manifest["archives"]:
                text(item["name"])
                other, head = self.find(bytes.fromhex(item["id"]), item["name"])
                if head[28:60] != header[28:60]:
                    raise RescueError(f"{other}, which {path} needs, is sealed under another key")
                archive = Archive(other, head, master)
                self.archives[archive.id] = archive
                if archive.size != number(item["size"]):
                    raise RescueError(f"{other} has not the size that {path} says")

    def find(self, wanted: bytes, name: str) -> tuple[str, bytes]:
        """Find an archive by its name in the same folder, and check its id."""
        path = os.path.join(os.path.dirname(self.archive.path), name)
        if re.fullmatch(rf"[^./][^/]*-{wanted[:4].hex()}\.packrat", name) and os.path.exists(path):
            header = read_header(path)
            if header[12:28] == wanted:
                return path, header
        lost = f"{show(name.encode())} (id {wanted.hex()})"
        raise RescueError(f"{self.archive.path} needs {lost}, which is not in the same folder")

    def fetch(
        self, kind: bytes, wanted: Iterable[tuple[Reference, T]]
    ) -> Iterator[tuple[T, bytes]]:
        """Yield (owner, chunk) in the order of the archives, so that each frame is read once."""
        frames: defaultdict[tuple[str, int, int], list[tuple[Reference, T]]] = defaultdict(list)
        for reference, owner in wanted:
            archive = self.archives[reference.archive]
            offset, _ = archive.frames[reference.frame - 2]
            frames[archive.name, offset, reference.frame].append((reference, owner))
        for at in sorted(frames):
            references, (_, offset, frame) = frames.pop(at), at
            archive = self.archives[references[0][0].archive]
            plain = archive.unseal(frame, *archive.frames[frame - 2], kind)
            for reference, owner in references:
                piece = plain[reference.offset : reference.offset + reference.length]
                if len(piece) < reference.length:
                    where = f"{archive.path}: {KINDS[kind]} (frame {frame}) at byte {offset}"
                    raise RescueError(f"{where} is referred to beyond its end at {len(plain)}")
                yield owner, piece

    def reference(self, item: Any, kind: bytes = b"d") -> Reference:
        """Return a reference, checked as far as possible without its frame."""
        chunk, archive, frame, offset, length = item
        if not re.fullmatch("[0-9a-f]{32}", chunk) or archive not in self.archives:
            raise ValueError(f"{chunk!r:.40} in {archive!r:.40} cannot be referred to")
        archive = self.archives[archive]
        number(frame, 2, len(archive.frames) + 1)
        number(number(offset) + number(length, 1), 1, LIMITS[kind])
        return Reference(archive.id, frame, offset, length)

    def chunks(self, entry: Entry) -> Iterator[list[Reference]]:
        """Yield the chunks of an entry in order, some of its lists at a time."""
        if not entry.lists:
            yield entry.chunks
        count = 0
        for start in range(0, len(entry.lists), LISTS_TOGETHER):
            together: list[Reference] = []
            places = entry.lists[start : start + LISTS_TOGETHER]
            for part in self.index_parts(places, LIST_MOST, self.reference):
                together += part
            number(count := count + len(together), 1, REFERENCES_MOST)
            yield together

    def index_parts(
        self, places: list[Reference], most: int, make: Callable[[Any], T]
    ) -> list[list[T]]:
        """Return what `make` makes of the items, at most `most`, of each block or list there."""
        parts: list[list[T]] = [[]] * len(places)
        for n, data in self.fetch(b"i", [(place, n) for n, place in enumerate(places)]):
            hook = few_objects() if len(data) > BLOCK_BYTES else None
            items = json.loads(data, object_pairs_hook=hook)
            if len(data) > BLOCK_BYTES and len(items) != 1:
                raise ValueError("a long block or list has more than one item")
            number(len(items), 1, most)
            parts[n] = [make(item) for item in items]
        return parts

    def entries(self) -> list[Entry]:
        """Return the entries of the index, fully checked before anything is written."""
        said = self.archive.manifest
        lists = [self.reference(place, b"i") for place in said["index"]]
        index = [block for part in self.index_parts(lists, LIST_MOST, dict) for block in part]
        places = [self.reference(block["chunk"], b"i") for block in index]
        blocks = self.index_parts(places, BLOCK_ENTRIES, lambda item: Entry(item, self.reference))
        for block, found in zip(index, blocks, strict=True):
            if (len(found), found[0].path) != (number(block["entries"]), name_of(block, "first")):
                raise ValueError(f"the block at '{show(found[0].path)}' is not as its list says")
        entries = [entry for block in blocks for entry in block]
        files = sum(entry.type != "dir" for entry in entries)
        if (len(entries), files) != (said["entries"], said["files"]):
            raise ValueError(f"it has {len(entries)} entries, not {said['entries']}")
        check(entries, self.archive.roots)
        for entry in entries:
            if entry.lists:
                entry.check_data(chain.from_iterable(self.chunks(entry)))
        return entries


def few_objects() -> Callable[[list[tuple[str, Any]]], dict[str, Any]]:
    """Return a hook for the JSON of a single entry or block, which refuses more objects.

    Otherwise a small archive could expand to millions of them.
    """
    left = iter(range(3))  # an entry with two kinds of attributes

    def make(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if next(left, None) is None:
            raise ValueError("a long block or list has more than one item")
        return dict(pairs)

    return make


def check(entries: list[Entry], roots: dict[str, bool]) -> None:
    """Refuse paths that a walk of the roots cannot yield, and hard links that differ."""
    streamed = {label.encode(): streams for label, streams in roots.items()}
    labels = set(streamed)
    folders: set[bytes] = {b""}
    links: dict[tuple[int, int], Entry] = {}
    last: list[bytes] | None = None
    for entry in entries:
        names = entry.path.split(b"/") if entry.path else []
        if any(name in (b"", b".", b"..") or b"\0" in name for name in names):
            raise ValueError(f"the path '{show(entry.path)}' is not allowed")
        if b"/".join(names[:-1]) not in folders or (not names and entry.type != "dir"):
            raise ValueError(f"the path '{show(entry.path)}' is in no folder of the backup")
        if last is not None and names <= last:
            raise ValueError(f"the path '{show(entry.path)}' is not in its order")
        last = names
        streams = streamed[names[0]] if roots and names else False
        labels.difference_update(names[:1])
        if entry.type != "dir" and streams != (entry.type == "stream"):
            raise ValueError(
                f"'{show(entry.path)}' is a {entry.type}, which its root cannot contain"
            )
        if roots and len(names) == 1 and not streams and entry.type != "dir":
            raise ValueError(f"the root '{show(entry.path)}' is not a folder")
        if entry.type == "dir":
            folders.add(entry.path)
        elif entry.link and links.setdefault(entry.link, entry).content() != entry.content():
            raise ValueError(f"'{show(entry.path)}' is unlike the files it is one with")
    if labels:
        raise ValueError(f"it has no entry of its root '{show(min(labels))}'")


def connect(entries: list[Entry]) -> None:
    """Connect the names of each file that has several hard links."""
    links: dict[tuple[int, int], Entry] = {}
    for entry in entries:
        if entry.link and links.setdefault(entry.link, entry) is not entry:
            entry.twin = links[entry.link]


# The folder that is written


class Target:
    """The folder to restore to. Everything below it is new and accessed by handles, not paths."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.lost: Counter[str] = Counter()
        self.handles: dict[bytes, int] = {}
        os.makedirs(path, 0o700, exist_ok=True)
        self.root = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        with contextlib.suppress(OSError):
            os.chmod(self.root, 0o700)
        for inherited in ("system.posix_acl_access", "system.posix_acl_default"):
            with contextlib.suppress(OSError):
                os.removexattr(self.root, inherited)

    def folder(self, path: bytes) -> int:
        """Open a folder below the target, name by name; recently used ones stay open."""
        if not path:
            return self.root
        if path not in self.handles:
            above, _, name = path.rpartition(b"/")
            handle = os.dup(self.handles.get(above, self.root))
            for part in [name] if above in self.handles else path.split(b"/"):
                flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
                below = os.open(part, flags, dir_fd=handle)
                os.close(handle)
                handle = below
            self.handles[path] = handle
            if len(self.handles) > HANDLES:
                os.close(self.handles.pop(next(iter(self.handles))))
        self.handles[path] = self.handles.pop(path)  # now the last
        return self.handles[path]

    @contextlib.contextmanager
    def place(self, path: bytes) -> Iterator[tuple[int, bytes]]:
        """Yield a path as the handle of its folder and a name; errors name the path."""
        folder, _, name = path.rpartition(b"/")
        try:
            yield self.folder(folder), name or b"."
        except (OSError, ValueError, OverflowError) as error:
            detail = error.strerror if isinstance(error, OSError) else error
            raise RescueError(f"{self.path}: cannot write {show(path)}: {detail}") from error

    @contextlib.contextmanager
    def open(self, path: bytes, flags: int) -> Iterator[int]:
        """Open the file at a path, never the target of a symlink."""
        with self.place(path) as (folder, name):
            handle = os.open(name, flags | os.O_NOFOLLOW, 0o600, dir_fd=folder)
            try:
                yield handle
            finally:
                os.close(handle)

    def attempt(self, what: str, act: Callable[..., object], *values: Any, **keys: Any) -> bool:
        """Call a function that needs root or a certain filesystem; count a failure."""
        try:
            act(*values, **keys)
        except OSError:
            self.lost[what] += 1
            return False
        return True

    def make(self, entry: Entry) -> None:
        """Create an entry without data and accessible to its owner only."""
        if entry.type in REGULAR and not entry.twin:
            with self.open(entry.path, os.O_CREAT | os.O_EXCL | os.O_WRONLY) as handle:
                os.ftruncate(handle, entry.size)
            return
        with self.place(entry.path) as (folder, name):
            if entry.twin:
                entry.made = entry.twin.made
                with self.place(entry.twin.path) as (other, first):
                    if entry.made:
                        both = {"src_dir_fd": other, "dst_dir_fd": folder}
                        os.link(first, name, **both, follow_symlinks=False)
            elif entry.type == "symlink":
                os.symlink(entry.target, name, dir_fd=folder)
            elif entry.type == "dir":
                if entry.path:
                    os.mkdir(name, 0o700, dir_fd=folder)
            else:
                made = name, TYPES[entry.type] | 0o600, entry.device
                entry.made = self.attempt("special files", os.mknod, *made, dir_fd=folder)

    def write(self, entry: Entry, position: int, data: bytes) -> None:
        """Write a piece of a file's data to its extent."""
        part = bisect_right(entry.extents, position, key=lambda extent: extent[0]) - 1
        begin, offset, _ = entry.extents[part]
        with self.open(entry.path, os.O_WRONLY) as handle:
            while data:
                written = os.pwrite(handle, data, offset + position - begin)
                position, data = position + written, data[written:]

    def dress(self, entry: Entry) -> None:
        """Set owner, attributes, mode and time, in an order in which none undoes another."""
        with self.open(entry.path, os.O_PATH) as handle:
            here = f"/proc/self/fd/{handle}"  # this inode, even of a symlink or device
            mode = entry.mode
            if not self.attempt("owners", os.chown, here, entry.uid, entry.gid):
                mode &= 0o1777  # no setuid or setgid for a wrong owner
            for attribute, value in entry.xattrs.items():
                self.attempt("extended attributes", os.setxattr, here, attribute, value)
            if entry.type != "symlink":
                self.attempt("modes", os.chmod, here, mode)
            self.attempt("times", os.utime, here, ns=(entry.mtime, entry.mtime))

    def fit(self, entries: list[Entry]) -> list[Entry]:
        """Leave out, and count, the entries with a name that this filesystem does not take."""
        most = os.fpathconf(self.root, "PC_NAME_MAX")
        fitting = [e for e in entries if all(len(name) <= most for name in e.path.split(b"/"))]
        if left_out := len(entries) - len(fitting):
            self.lost["files with a name too long for this filesystem"] = left_out
        return fitting

    def restore(self, backup: Backup, entries: list[Entry]) -> None:
        """Write everything: first the entries, then their data, last their attributes."""
        connect(entries)
        for entry in entries:
            self.make(entry)
        for (entry, position), data in backup.fetch(b"d", pieces(entries)):
            self.write(entry, position, data)
        for entry in entries:
            position = 0
            for chunks in backup.chunks(entry) if entry.lists and not entry.twin else ():
                ends = [*accumulate((chunk.length for chunk in chunks), initial=position)]
                for at, data in backup.fetch(b"d", zip(chunks, ends, strict=False)):
                    self.write(entry, at, data)
                position = ends[-1]
        for entry in reversed(entries):
            if entry.made and not entry.twin:
                self.dress(entry)


def pieces(entries: list[Entry]) -> Iterator[tuple[Reference, tuple[Entry, int]]]:
    """Yield each reference of an entry without lists, and its position in the entry's data."""
    for entry in entries:
        position = 0
        for chunk in () if entry.twin else entry.chunks:
            yield chunk, (entry, position)
            position += chunk.length


# The program


def is_statement(path: str) -> bool:
    """Return whether a file is a statement, by its name."""
    return path.endswith(".statement")


def parse(words: list[str] | None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser("rescue.py", description="Restores Packrat archives.")
    parser.usage = (
        "rescue.py ARCHIVE... TARGET | --list ARCHIVE... | --slot N ARCHIVE FILE"
        "  [--password-file F | --key-file F]"
    )
    parser.add_argument(
        "archives",
        nargs="+",
        metavar="ARCHIVE",
        help="a *.packrat file; with --list also a *.statement file",
    )
    parser.add_argument("--list", action="store_true", help="list the paths, restore nothing")
    parser.add_argument("--slot", type=int, metavar="N", help="write the age file of slot N")
    secret = parser.add_mutually_exclusive_group()
    secret.add_argument("--password-file", metavar="F", help="its first line is the password")
    secret.add_argument("--key-file", metavar="F", help="the key file that packrat init wrote")
    arguments = parser.parse_args(words)
    target = arguments.target = None if arguments.list else arguments.archives.pop()
    if not arguments.archives:
        parser.error("an ARCHIVE and a TARGET are needed")
    if target and arguments.slot is None and any(map(is_statement, arguments.archives)):
        parser.error("a statement can only be listed")
    if arguments.slot is not None:
        if len(arguments.archives) != 1 or not target or os.path.lexists(target):
            parser.error("--slot needs one ARCHIVE and a FILE that does not exist")
    elif target and os.path.lexists(target) and (not os.path.isdir(target) or os.listdir(target)):
        parser.error(f"{target} must be an empty folder, or absent")
    for path in [*arguments.archives, arguments.key_file, arguments.password_file]:
        if path and not os.path.exists(path):
            parser.error(f"{path} does not exist")
    return arguments


def rescue(backup: Backup, target: str | None, prefix: str) -> None:
    """List or restore one archive, and print the result."""
    archive = backup.archive
    with reading(f"{archive.path}: the index"):
        entries = backup.entries()
    if target is None:
        for entry in entries:
            if entry.path:
                print(prefix + show(entry.path))
        return
    written = Target(os.path.join(target, prefix))
    entries = written.fit(entries)
    try:
        written.restore(backup, entries)
    except RescueError as error:
        raise RescueError(f"{error}; what stands in {target} is unfinished") from error
    files = sum(entry.made and entry.type != "dir" for entry in entries)
    print(f"{archive.name}: {files} files restored to {written.path}")
    torn = [
        f"{show(entry.path)} changed while it was read, or has attributes that could not be read"
        for entry in entries
        if entry.unsettled
    ]
    lost = [f"{what} that could not be restored: {count}" for what, count in written.lost.items()]
    missed = [f"files that could not be read: {n}" for n in [archive.manifest.get("missed")] if n]
    for warning in torn + lost + missed:
        print(f"warning: {warning}", file=sys.stderr)


def write_slot(path: str, wanted: int, file: str) -> int:
    """Write the age file of a key slot to a file; slots count from 1."""
    found = slots(path, read_header(path))
    age = [n for n, slot in enumerate(found, 1) if slot.kind == AGE]
    if wanted not in age:
        raise RescueError(f"{path}: slot {wanted} is no age file; these are: {age or 'none'}")
    with open(file, "xb") as out:
        out.write(found[wanted - 1].body)
    print(f"next: age --decrypt --identity PRIVATE_KEY_FILE --output master {file}")
    return 0


def main(words: list[str] | None = None) -> int:
    """Run the program; return its exit status."""
    try:
        given = parse(words)
        if given.slot is not None:
            return write_slot(given.archives[0], given.slot, given.target)
        key = read_key(given.key_file) if given.key_file else None
        password = b"" if key else read_password(given.password_file)
        for path in filter(is_statement, given.archives):
            header = read_header(path)
            print(Statement(path, header, unlock(path, header, key, password)).sentence)
        archives = [path for path in given.archives if not is_statement(path)]
        backups = [Backup(path, key, password) for path in archives]
        prefixes = [f"{backup.archive.service}/" for backup in backups]
        if len(set(prefixes)) < len(prefixes):
            print("rescue.py: give only one archive of a service", file=sys.stderr)
            return USAGE
        for backup, prefix in zip(backups, prefixes, strict=True):
            rescue(backup, given.target, prefix if len(backups) > 1 else "")
    except (RescueError, OSError, MemoryError) as error:
        print(f"rescue.py: {error or 'not enough memory'}", file=sys.stderr)
        return error.status if isinstance(error, RescueError) else 1
    except (KeyboardInterrupt, EOFError):
        print("rescue.py: interrupted; what was written is unfinished", file=sys.stderr)
        return INTERRUPTED
    return 0


if __name__ == "__main__":
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    sys.exit(main())
