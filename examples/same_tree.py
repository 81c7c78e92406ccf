#!/usr/bin/env python3
"""Proof that two directory trees are the same, independent of Packrat's code.

Usage: same_tree.py ORIGINAL COPY

Compares type, mode, owner, mtime to the nanosecond, size, bytes, link targets, device numbers,
extended attributes (including POSIX ACLs), and which names are hard links of one another. Exit
status: 0 identical, 1 different (each difference on a line), 2 usage.
"""

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

SHOWN = 20
BLOCK = 1 << 20


@dataclass
class Tree:
    """One of the two trees; records the first name of each hard-linked file."""

    root: bytes
    first_names: dict[tuple[int, int], bytes] = field(default_factory=dict)

    def names(self) -> Iterator[bytes]:
        """Yield every path below the root, with the root itself (empty) first."""
        yield b""
        pending = [b""]
        while pending:
            folder = pending.pop()
            with os.scandir(os.path.join(self.root, folder)) as entries:
                for entry in entries:
                    name = os.path.join(folder, entry.name)
                    yield name
                    if entry.is_dir(follow_symlinks=False):
                        pending.append(name)

    def path(self, name: bytes) -> bytes:
        """Return the path of a name on disk."""
        return os.path.join(self.root, name) if name else self.root

    def facts(self, name: bytes) -> dict[str, object]:
        """Return everything about one name except its bytes."""
        path = self.path(name)
        info = os.lstat(path)
        kind = stat.S_IFMT(info.st_mode)
        facts: dict[str, object] = {
            "type": kind,
            "mode": oct(stat.S_IMODE(info.st_mode)),
            "owner": (info.st_uid, info.st_gid),
            "mtime": info.st_mtime_ns,
            "xattrs": {
                key: os.getxattr(path, key, follow_symlinks=False)
                for key in os.listxattr(path, follow_symlinks=False)
            },
        }
        if kind == stat.S_IFREG:
            facts["size"] = info.st_size
        if kind == stat.S_IFLNK:
            facts["link target"] = os.readlink(path)
        if kind in (stat.S_IFCHR, stat.S_IFBLK):
            facts["device"] = info.st_rdev
        if kind != stat.S_IFDIR and info.st_nlink > 1:
            first = self.first_names.setdefault((info.st_dev, info.st_ino), name)
            facts |= {"hard link of": first} if first != name else {}
        return facts


def next_data(file: int, at: int, size: int) -> int:
    """Return the position of the next byte that is not in a hole."""
    try:
        return os.lseek(file, at, os.SEEK_DATA)
    except OSError:  # only a hole follows
        return size


def same_bytes(one: bytes, other: bytes, size: int) -> bool:
    """Return whether two regular files of this size have the same bytes, skipping common holes."""
    with Path(os.fsdecode(one)).open("rb") as left, Path(os.fsdecode(other)).open("rb") as right:
        files = left.fileno(), right.fileno()
        at = 0
        while (at := min(next_data(file, at, size) for file in files)) < size:
            if os.pread(files[0], BLOCK, at) != os.pread(files[1], BLOCK, at):
                return False
            at += BLOCK
        return True


def differences(original: Tree, copy: Tree, names: list[bytes]) -> Iterator[str]:
    """Yield how the copy differs, for names that both trees have."""
    for name in names:
        shown = os.fsdecode(name) or "."
        wanted, found = original.facts(name), copy.facts(name)
        for fact in wanted | found:
            if wanted.get(fact) != found.get(fact):
                yield f"{shown}: {fact} is {found.get(fact)!r}, not {wanted.get(fact)!r}"
        match wanted, found:
            case {"size": int(size)}, {"size": other} if size == other:
                if not same_bytes(original.path(name), copy.path(name), size):
                    yield f"{shown}: other bytes"


def compare(original: Tree, copy: Tree) -> tuple[int, list[str]]:
    """Return the number of names in the original, and every difference."""
    wanted, found = set(original.names()), set(copy.names())
    faults = [f"{os.fsdecode(name)}: missing" for name in sorted(wanted - found)]
    faults += [f"{os.fsdecode(name)}: not in the original" for name in sorted(found - wanted)]
    faults += differences(original, copy, sorted(wanted & found))
    return len(wanted), faults


def main(arguments: list[str]) -> int:
    """Compare the two trees named on the command line."""
    try:
        one, other = arguments
    except ValueError:
        sys.stderr.write(f"{__doc__}\n")
        return 2
    count, faults = compare(Tree(os.fsencode(one)), Tree(os.fsencode(other)))
    for fault in faults[:SHOWN]:
        sys.stdout.write(f"{fault!r}\n" if not fault.isprintable() else f"{fault}\n")
    if faults:
        sys.stdout.write(f"{len(faults):,} differences among {count:,} files and folders\n")
        return 1
    sys.stdout.write(f"{count:,} files and folders: identical\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
