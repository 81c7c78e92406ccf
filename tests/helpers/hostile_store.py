"""Filesystem of fsspec that fails, hangs and lies, as a seed decides.

`hostile://SEED` keeps real files in the folder of its `World`, so that some calls work and a run
gets far before it meets the next trouble.
"""

import asyncio
import errno
import os
import random
import shutil
import struct
import threading
from collections import Counter
from contextlib import suppress
from itertools import count
from pathlib import Path

import fsspec
from fsspec import AbstractFileSystem

HANG_SECONDS = 60
STREAM_BYTES = 16 << 20
"""Bytes of one answer to a read that should be short."""
NAME = "svc-2026{:04}T000000Z-{:08x}.packrat"


class PanicException(BaseException):
    """Panic of a library in Rust: not an Exception."""


class Strange(BaseException):
    """Neither an Exception nor known to anyone."""


ERRORS = [
    OSError(errno.EIO, "Input/output error"),
    OSError(errno.ENOSPC, "No space left on device"),
    OSError("without a number"),
    PermissionError(errno.EACCES, "Permission denied"),
    FileNotFoundError(errno.ENOENT, "No such file or directory"),
    FileExistsError(errno.EEXIST, "File exists"),
    ConnectionResetError(errno.ECONNRESET, "Connection reset by peer"),
    TimeoutError(),
    ValueError("{braces} and \x1b[2J"),
    KeyError("size"),
    TypeError(),
    RecursionError("maximum recursion depth exceeded"),
    MemoryError(),
    StopIteration(3),
    AssertionError(),
    EOFError("x" * 100_000),
    asyncio.CancelledError(),
    GeneratorExit(),
    SystemExit(0),
    PanicException("index out of bounds"),
    Strange("what is this?"),
]
TROUBLES = {
    "exception": ("ls", "info", "exists", "makedirs", "open", "read", "write", "close", "mv", "rm"),
    "hang": ("ls", "info", "makedirs", "open", "read", "write", "close", "mv", "rm"),
    "other bytes": ("read", "write"),
    "short": ("read", "write"),
    "endless": ("read", "ls"),
    "phantoms": ("ls",),
    "nonsense": ("ls", "info"),
    "hidden": ("ls", "info"),
    "another size": ("ls", "info"),
    "stretched": ("ls",),
    "pretended": ("write", "close", "mv", "rm"),
    "exchanged": ("read", "mv", "rm"),
}
"""Kind of trouble -> the calls that it may meet."""


class World:
    """Server behind one seed: its files, its kinds of trouble, and how often they come."""

    def __init__(self, seed: int, folder: Path) -> None:
        self.folder = folder
        self.chance = random.Random(seed)
        self.kinds = self.chance.sample(sorted(TROUBLES), self.chance.choice([1, 1, 2, 3, 12]))
        self.rate = self.chance.choice([0.03, 0.1, 0.3, 1.0])
        self.honest = False
        self.met: Counter[str] = Counter()
        """Kind of trouble and call -> how often."""
        self.stretched: dict[str, int] = {}
        """File -> bytes by which it appears longer, with a trailer that says so."""
        self._lock = threading.Lock()

    def trouble(self, call: str) -> str:
        """Return the trouble that a call meets, "" for none; raises an exception, or hangs."""
        with self._lock:
            kinds = [kind for kind in self.kinds if call in TROUBLES[kind]]
            if self.honest or not kinds or self.chance.random() >= self.rate:
                return ""
            kind, error = self.chance.choice(kinds), self.chance.choice(ERRORS)
            self.met[f"{kind}: {call}"] += 1
        if kind == "hang":
            threading.Event().wait(HANG_SECONDS)
        if kind in ("exception", "hang"):
            raise type(error)(*error.args)
        return kind


WORLDS: dict[str, World] = {}


class HostileFileSystem(AbstractFileSystem):
    """Client of the world whose seed is in the URL."""

    protocol = "hostile"
    cachable = False

    def _at(self, path: str) -> tuple[World, str]:
        seed, _, below = self._strip_protocol(path).partition("/")
        world = WORLDS[seed]
        return world, str(world.folder / below)

    def ls(self, path, **_):
        world, real = self._at(path)
        kind = world.trouble("ls")
        found = [
            {"name": f"{path}/{one.name}", "size": one.stat().st_size, "type": _type(one)}
            for one in os.scandir(real)
        ]
        match kind:
            case "endless":
                return ({"name": f"{path}/x{n}", "size": 1, "type": "file"} for n in count())
            case "phantoms":
                names = [NAME.format(n, world.chance.getrandbits(32)) for n in range(101, 111)]
                names += [f".{name}.part" for name in names[:2]] + ["\x1b[2J", "..", "", "\udcff"]
                return found + [
                    {"name": f"{path}/{name}", "size": world.chance.choice([0, 5000, 2**62]),
                     "type": "file"} for name in names
                ]  # fmt: skip
            case "nonsense":
                return [
                    {**one, world.chance.choice(["name", "size", "type"]): world.chance.choice(ODD)}
                    for one in found
                ] + [{}]
            case "hidden":
                return world.chance.sample(found, world.chance.randrange(len(found) + 1))
            case "another size":
                return [{**one, "size": world.chance.choice([-1, 1, 2**80])} for one in found]
            case "stretched":
                world.stretched = {
                    f"{real}/{one['name'].rpartition('/')[2]}": 4096 for one in found
                }
        return [
            {**one, "size": one["size"] + world.stretched.get(self._at(one["name"])[1], 0)}
            for one in found
        ]

    def info(self, path, **_):
        world, real = self._at(path)
        kind = world.trouble("info")
        if kind == "hidden":
            raise FileNotFoundError(path)
        size = os.stat(real).st_size + world.stretched.get(real, 0)
        if kind == "another size":
            size = world.chance.choice([-1, 1, size + 1, 2**80])
        if kind == "nonsense":
            return {"name": path, "size": world.chance.choice(ODD), "type": "file"}
        return {"name": path, "size": size, "type": _type(Path(real))}

    def exists(self, path, **_):
        world, real = self._at(path)
        world.trouble("exists")
        return os.path.exists(real)

    def makedirs(self, path, *, exist_ok):
        world, real = self._at(path)
        world.trouble("makedirs")
        os.makedirs(real, exist_ok=exist_ok)

    def open(self, path, mode="rb", **_):
        world, real = self._at(path)
        world.trouble("open")
        return HostileFile(world, real, mode)

    def mv(self, path1, path2, **_):
        world, before = self._at(path1)
        after = self._at(path2)[1]
        match world.trouble("mv"):
            case "pretended":
                return
            case "exchanged":
                shutil.copy(world.chance.choice(_files(after)) or before, after)
        os.rename(before, after)

    def rm_file(self, path):
        world, real = self._at(path)
        match world.trouble("rm"):
            case "pretended":
                return
            case "exchanged":
                real = world.chance.choice(_files(real)) or real
        os.unlink(real)


class HostileFile:
    """Open file of a hostile filesystem."""

    def __init__(self, world: World, path: str, mode: str) -> None:
        self.world, self.path = world, path
        self.file = open(path, mode)  # noqa: SIM115 (closed by close or discard)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.file.close()

    def seek(self, offset):
        self.file.seek(offset)

    def read(self, length):
        kind = self.world.trouble("read")
        if more := self.world.stretched.get(self.path):
            return self._stretched(more, length)
        if kind == "endless":
            return bytes(STREAM_BYTES)
        if kind == "exchanged" and (other := self.world.chance.choice(_files(self.path))):
            with open(other, "rb") as file:
                file.seek(self.file.tell())
                return file.read(length)
        data = self.file.read(length)
        return _harmed(self.world, kind, data)

    def _stretched(self, more, length):
        """Read as if there was a gap before the manifest: the trailer is not authenticated."""
        at = self.file.tell()
        self.file.seek(0)
        data = self.file.read()
        with suppress(struct.error):
            offset, *rest = struct.unpack(">QII8s8s", data[-32:])
            trailer = struct.pack(">QII8s8s", offset + more, *rest)
            data = data[:offset] + bytes(more) + data[offset:-32] + trailer
        self.file.seek(at + length)
        return data[at : at + length]

    def write(self, data):
        kind = self.world.trouble("write")
        if kind != "pretended":
            self.file.write(_harmed(self.world, kind, bytes(data)))
        return len(data)

    def close(self):
        if self.world.trouble("close") == "pretended":
            self.file.truncate(self.file.tell() // 2)
        self.file.close()

    def discard(self):
        self.file.close()


fsspec.register_implementation("hostile", HostileFileSystem, clobber=True)

ODD = [None, "many", -(2**70), float("inf"), [], b"\xff", "a/../../x", "directory"]


def _type(path) -> str:
    return "directory" if path.is_dir() else "file"


def _files(beside: str) -> list[str]:
    """Return the paths of the files beside one, and "" for none."""
    return ["", *map(str, sorted(Path(beside).parent.glob("*.packrat")))]


def _harmed(world: World, kind: str, data: bytes) -> bytes:
    if not data:
        return data
    if kind == "short":
        return data[: world.chance.randrange(len(data))]
    if kind == "other bytes":
        harmed = bytearray(data)
        harmed[world.chance.randrange(len(data))] ^= 1 << world.chance.randrange(8)
        return bytes(harmed)
    return data
