"""Maker of the frozen archives beside this file, which must not be made again.

    python -m tests.vectors.make FOLDER     (as root: there are devices and owners)

makes a tree with every type of entry in FOLDER/source, backs it up, changes it, and backs it up
again with packrat as it was then, with a statement of each kind between the two. A third archive,
by `tests/tiny_writer.py`, has a root of each kind. It writes the archives, the statements, and the
content of the archives as JSON, to FOLDER. The password is in `password`. Archive ids and salts are
random, so another run makes other bytes. The frozen archives were made on the day of the format,
and readers must restore them for ever.

For every path, in base64 if it is not UTF-8, the JSON says what a restore must produce: type, mode,
owner, mtime, size and SHA-256 of the content, extents of data, target, device, xattrs, and the
first name of each hard-linked file.
"""

import base64
import hashlib
import json
import os
import shutil
import stat
import struct
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import get_args

from engine.run import Clock
from packrat.program import Program
from packrat.runs.backup import back_up
from specs.compile import compile_service
from specs.load import load_config
from tests.tiny_writer import PASSWORDS, Draft
from vault.archive.derivation import Derivation
from vault.archive.format import stamp, unstamp
from vault.archive.key_file import write_key_file
from vault.archive.keys import Keys
from vault.archive.lineage import Says
from vault.archive.slots import RecipientSlot
from vault.archive.statement import Statement, seal_statement
from vault.catalog.statements import publish_statement

PASSWORD = "Pässwört mit Leerzeichen"
IDENTITY = "AGE-SECRET-KEY-1CAQ4F3QL6HZLJF76D9V3MRNPXAXPCK4YJH3QWJVP4TTR9HYC0PYS870RJZ"
RECIPIENT = "age1qf3wnkvdr3wzr9rkguh6hmlyprfjrhuxglpw56vamapuyff509jsyj7vw6"
FROZEN = (".json", ".packrat", ".statement")
WHEN = 1_700_000_000_123_456_789
ACL = struct.pack("<I" + "HHi" * 5, 2, 1, 6, -1, 2, 4, 1234, 4, 4, -1, 16, 4, -1, 32, 0, -1)
CONFIG = """
services: {{vectors: {{path: {0}/source}}}}
backup: {{local: {{path: {0}/store}}}}
encryption: {{key_file: {0}/key}}
state_dir: {0}/state
host: frozen
"""


def pattern(size: int, seed: int) -> bytes:
    """Return reproducible bytes: SHA-256 of seed and counter, end to end."""
    count = range(-(-size // 32))
    return b"".join(hashlib.sha256(f"{seed} {n}".encode()).digest() for n in count)[:size]


def letters(size: int, seed: int) -> bytes:
    """Return a text of two letters, which compresses eight to one and is cut into chunks."""
    return pattern(size, seed).translate(bytes(b"ab"[n & 1] for n in range(256)))


def image(changed: int = 0) -> bytes:
    """Return 32 MiB that are cut into many chunks and compress to half a megabyte."""
    pages = [pattern(512, 100 + n) * 128 for n in range(512)]
    pages[40] = pattern(512, 100 + 40 + changed) * 128
    return b"".join(pages)


def first_tree(root: Path) -> None:
    """Create one entry of every type."""
    root.mkdir()
    (root / "folder").mkdir()
    (root / "folder/empty folder").mkdir()
    (root / "folder/small").write_bytes(b"small\n")
    (root / "folder-beside").write_bytes(b"sorts after what is in folder\n")
    (root / "empty").write_bytes(b"")
    (root / "text").write_bytes(b"the same line again\n" * 3000)
    (root / "twin").write_bytes(b"the same line again\n" * 3000)
    (root / "large").write_bytes(letters(3_000_000, 1))
    (root / "image").write_bytes(image())
    with open(root / "sparse", "wb") as file:
        for offset, seed in ((1 << 20, 2), (1 << 24, 3)):
            file.seek(offset)
            file.write(pattern(4096, seed))
        file.truncate(1 << 26)
    with open(root / "hole", "wb") as file:
        file.truncate(1 << 20)
    (root / "hard 1").write_bytes(b"one file, three names\n")
    os.link(root / "hard 1", root / "hard 2")
    os.link(root / "hard 1", root / "folder/hard 3")
    os.symlink("folder/small", root / "link")
    os.symlink("/nowhere/at all", root / "dangling")
    os.symlink(b"\xff\xfe", root / "odd link")
    os.mkfifo(root / "fifo", 0o640)
    os.mknod(root / "char", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "block", stat.S_IFBLK | 0o660, os.makedev(259, 1_048_575))
    for name in (b"caf\xe9", b"new\nline", "ünïcode".encode(), b"n" * 255, b"back\\slash \x1b[31m"):
        Path(os.fsdecode(os.fsencode(root) + b"/" + name)).write_bytes(name)
    (root / "setuid").write_bytes(b"#!/bin/true\n")
    os.chown(root / "setuid", 1234, 2345)
    (root / "setuid").chmod(0o4751)
    (root / "sticky").mkdir()
    (root / "sticky").chmod(0o1777)
    (root / "secret").write_bytes(b"nobody may read this\n")
    (root / "secret").chmod(0)
    os.setxattr(root / "text", "user.note", b"\0\xffbinary")
    os.setxattr(root / "text", b"user.\xff", b"a name that is not UTF-8")
    os.setxattr(root / "large", "system.posix_acl_access", ACL)


def second_tree(root: Path) -> None:
    """Change content, a name and one of the hard links, and delete something."""
    (root / "large").write_bytes(letters(3_000_000, 1) + pattern(500, 4))
    (root / "image").write_bytes(image(changed=1000))
    (root / "folder").rename(root / "renamed folder")
    (root / "hard 2").unlink()
    (root / "twin").unlink()
    (root / "new").write_bytes(b"new in the second\n")


ROOTS = {"files": "folder", "data": "volume", "db.sql": "dump", "databases": "dump"}
ROOTS |= {"service": "definition"}


def rooted_tree(root: Path) -> None:
    """Create what the archive with several roots holds, as it is restored."""
    for name in ("files", "data", "databases"):
        (root / name).mkdir(parents=True)
    (root / "files/one").write_bytes(b"in a folder\n")
    (root / "data/one").write_bytes(b"in a volume\n")
    os.link(root / "data/one", root / "data/two")
    os.symlink("one", root / "data/link")
    (root / "db.sql").write_bytes(letters(200_000, 5))
    (root / "db.sql").chmod(0o600)
    (root / "databases/empty").write_bytes(b"")
    (root / "databases/first").write_bytes(b"CREATE TABLE first;\n")
    (root / "service").write_bytes(b'{"container": {"image": "postgres:18"}}')


def rooted_archive(draft: Draft, root: Path) -> None:
    """Describe that tree as an archive, as docs/format.md says."""
    entries = []
    stored: dict[int, list[list[object]]] = {}
    for path in [root, *sorted(root.rglob("*"))]:
        info, name = path.lstat(), str(path.relative_to(root)) if path != root else ""
        entry = {"path": name, "mode": stat.S_IMODE(info.st_mode), "mtime": info.st_mtime_ns}
        if path.is_symlink():
            entry |= {"type": "symlink", "target": os.readlink(path)}
        elif path.is_dir():
            entry["type"] = "dir"
        else:
            if ROOTS[name.partition("/")[0]] in ("dump", "definition"):
                entry["type"] = "stream"
            elif info.st_nlink > 1:
                entry["link"] = [1, info.st_ino]
            data = path.read_bytes()
            parts = [data[at : at + 65_536] for at in range(0, len(data), 65_536)]
            if info.st_ino not in stored:
                stored[info.st_ino] = draft.store(b"d", *parts) if parts else []
            entry |= {"size": len(data), "chunks": stored[info.st_ino]}
        entries.append(entry)
    draft.index(entries)
    draft.manifest["roots"] = [{"label": k, "kind": v, "source": k} for k, v in ROOTS.items()]
    draft.manifest |= {"host": "frozen", "normal": [draft.manifest[k] for k in ("files", "size")]}


def say_everything(program: Program) -> None:
    """Publish a statement of each kind."""
    store = program.destination("local")
    [item] = program.cache.catalog(store, "vectors", program.keys).listed
    first = item.summary
    assert first
    for number, says in enumerate(get_args(Says)):
        said = Statement(
            id=os.urandom(16).hex(),
            service="vectors",
            host="frozen",
            line=first.line,
            time=stamp(unstamp(first.time) + number),
            says=says,
            archives=[first.id if says in ("pin", "forgotten") else f"{number:032x}"],
            text=f"why it is {says}",
        )
        data = seal_statement(said, program.keys)
        publish_statement(store, "vectors", said.name, data, program.keys)


def freeze_times(root: Path) -> None:
    """Set all times to WHEN, and some to times before 1970 and after 2038."""
    for folder, names, files in os.walk(os.fsencode(root), topdown=False):
        for name in [*names, *files]:
            path = os.path.join(folder, name)
            mtime = {b"empty": -1_500_000_001, b"text": 4_000_000_000_000_000_001}.get(name, WHEN)
            os.utime(path, ns=(mtime, mtime), follow_symlinks=False)
    os.utime(root, ns=(WHEN, WHEN))


def name_of(path: bytes) -> dict[str, str]:
    """Return a name in a form that JSON can express."""
    try:
        return {"path": path.decode()}
    except UnicodeDecodeError:
        return {"path64": base64.b64encode(path).decode()}


def listing(root: Path) -> list[dict[str, object]]:
    """Return everything that a restore must produce."""
    found = []
    firsts: dict[int, bytes] = {}
    top = os.fsencode(root)
    paths = [top]
    for folder, names, files in os.walk(top):
        paths += [os.path.join(folder, name) for name in [*names, *files]]
    relative = {os.path.relpath(path, top) if path != top else b"": path for path in paths}
    for name in sorted(relative, key=lambda name: name.split(b"/") if name else []):
        path, info = relative[name], os.lstat(relative[name])
        facts: dict[str, object] = name_of(name)
        facts |= {"type": oct(stat.S_IFMT(info.st_mode)), "mode": oct(stat.S_IMODE(info.st_mode))}
        facts |= {"owner": [info.st_uid, info.st_gid], "mtime": info.st_mtime_ns}
        if stat.S_ISREG(info.st_mode):
            facts |= {"size": info.st_size, "sha256": content(path)}
            facts["allocated"] = info.st_blocks * 512 >= info.st_size
        if stat.S_ISLNK(info.st_mode):
            facts["target"] = base64.b64encode(os.readlink(path)).decode()
        if stat.S_ISCHR(info.st_mode) or stat.S_ISBLK(info.st_mode):
            facts["device"] = [os.major(info.st_rdev), os.minor(info.st_rdev)]
        attributes = {
            base64.b64encode(os.fsencode(key)).decode(): base64.b64encode(
                os.getxattr(path, key, follow_symlinks=False)
            ).decode()
            for key in os.listxattr(path, follow_symlinks=False)
        }
        if attributes:
            facts["xattrs"] = attributes
        if info.st_nlink > 1 and not stat.S_ISDIR(info.st_mode):
            first = firsts.setdefault(info.st_ino, name)
            facts["same as"] = first.decode()
        found.append(facts)
    return found


def content(path: bytes) -> str:
    """Return the SHA-256 of a file, whose holes are zeros."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def main(folder: Path) -> None:
    """Make the trees, archives and JSON files."""
    folder.mkdir(parents=True)
    source, store = folder / "source", folder / "store" / "vectors"
    (folder / "password").write_text(PASSWORD + "\n")
    (folder / "packrat.yaml").write_text(CONFIG.format(folder.absolute()))
    keys = Keys.create(PASSWORD, Derivation(os.urandom(16), 64 * 1024, 1, 2))
    recipient = RecipientSlot.make(RECIPIENT, keys.master)
    write_key_file(str(folder / "key"), replace(keys, slots=(*keys.slots, recipient)))
    pipeline = compile_service(load_config(str(folder / "packrat.yaml")), "vectors")
    later = Clock(now=lambda: time.time_ns() + 10**10)  # everything is old enough to be trusted
    for number, change in enumerate((first_tree, second_tree), 1):
        change(source)
        freeze_times(source)
        result = back_up(pipeline, clock=later)
        assert result.status == "done", result
        write_listing(folder, number, source)
        if number == 1:
            say_everything(Program(str(folder / "packrat.yaml")))
    rooted_tree(folder / "rooted")
    freeze_times(folder / "rooted")
    write_listing(folder, 3, folder / "rooted")
    PASSWORDS[keys.master] = PASSWORD
    body = struct.pack(">BH", RecipientSlot.KIND, len(recipient.body)) + recipient.body
    draft = Draft(keys.master, "vectors", stamp(time.time() + 60), slots=[body])
    rooted_archive(draft, folder / "rooted")
    draft.save(store)
    for file in sorted(store.iterdir()):
        shutil.copy(file, folder)
    names = sorted(path.name for path in folder.iterdir() if path.suffix in FROZEN)
    names.append("password")
    sums = [f"{hashlib.sha256((folder / name).read_bytes()).hexdigest()}  {name}" for name in names]
    (folder / "SHA256SUMS").write_text("\n".join(sums) + "\n")


def write_listing(folder: Path, number: int, root: Path) -> None:
    """Write what a restore of the archive with this number must produce."""
    (folder / f"{number}.json").write_text(json.dumps(listing(root), indent=1) + "\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
