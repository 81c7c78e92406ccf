"""Service's folder with a restored tree beside it, for tests of in-place restores."""

import os
import shutil
import stat
from pathlib import Path

from stages.in_place.folder import own_folders
from stages.in_place.forget import forget
from stages.in_place.recover import recover
from stages.in_place.replaced import replaced_folders
from stages.in_place.restore import swap
from stages.in_place.staging import TargetRoot, prepare
from stages.in_place.undo import newest_undoable, undo
from tests.helpers.trees import fill

EXCLUDE = ("cache/", "*.tmp")
OLD = {
    "a": b"old a",
    "only-old": b"in no backup",
    "data/x": b"old x",
    "data/deep/y": b"old y",
    "part/x": b"old part",
    "part/only-old": b"in no backup either",
    "part/cache/c": b"excluded",
    "gone/g": b"old g",
    "gone/k.tmp": b"excluded too",
    "type": b"a file once",
}
NEW = {
    "a": b"new a",
    "only-new": b"from the backup",
    "data/x": b"new x",
    "data/z": b"new z",
    "part/x": b"new part",
    "part/new": b"new in part",
    "type/now": b"a folder",
}


class Place:
    """A service with its state folder. `old` and `new` are the two states it may be in."""

    def __init__(self, base: Path, exclude=EXCLUDE):
        self.base, self.exclude = base, exclude
        self.state, self.path = str(base / "state"), base / "svc"
        self.backup = base / "backup"

    def fill(self, old=OLD, new=NEW):
        """Create both states; the new one is what a restore would write."""
        for root, files in ((self.path, old), (self.backup, new)):
            fill(root, files)
            os.symlink("a", root / "link")
            os.mkfifo(root / "fifo")
            (root / b"not-utf8-\xff".decode(errors="surrogateescape")).write_bytes(b"1")
        os.chmod(self.path, 0o750)
        os.chmod(self.path / "part", 0o711)
        os.utime(self.path / "part", ns=(10**18, 10**18 + 7))
        os.utime(self.path, ns=(10**18, 10**18 + 5))
        os.chmod(self.backup, 0o705)
        os.utime(self.backup, ns=(10**18, 10**18 + 9))
        self.old = self.look()
        new = look(self.backup)
        kept = [n for n in self.old if n in ("gone", "gone/k.tmp") or n.startswith("part/cache")]
        self.new = new | {n: self.old[n] for n in kept}
        return self

    def look(self):
        """Return the state of everything except packrat's own folders."""
        return look(self.path, own_folders(self.state, str(self.path)))

    def everywhere(self):
        """Return the contents of all files below the service's folder, also in packrat's."""
        files = [p for p in self.path.rglob("*") if p.is_file() and not p.is_symlink()]
        return {p.read_bytes() for p in files}

    def prepare(self, paths=(), archive="1" * 32):
        return prepare(
            self.state, "svc", [TargetRoot("", str(self.path), tuple(paths))], archive, 1e9
        )

    def write(self, staging):
        """Write the tree to the folder of a staging or of one root, as the writer does."""
        root = getattr(staging, "roots", [staging])[0]
        tree = f"/proc/self/fd/{root.tree}"
        for name in os.listdir(tree):
            full = os.path.join(tree, name)
            shutil.rmtree(full) if os.path.isdir(full) else os.unlink(full)
        copy_tree(self.backup, Path(tree))

    def restore(self, paths=(), check=lambda: None, never=()):
        with self.prepare(paths) as staging:
            self.write(staging)
            return swap(self.state, staging, lambda _: self.exclude, never, check, 1e9)

    def undo(self, never=()):
        records = newest_undoable(self.state, "svc")
        assert records, "nothing to undo"
        return undo(self.state, records, {"": str(self.path)}, lambda _: self.exclude, never, 1e9)

    def forget(self):
        return forget(self.state, "svc", {"": str(self.path)})

    def recover(self):
        return recover(self.state, "svc", 1e9, {"": str(self.path)})


def set_aside(state: str, path: str) -> list[str]:
    """Return the paths of the replaced folders of a service's folder."""
    return [one.folder for one in replaced_folders(state, path)]


def copy_tree(source: Path, target: Path):
    """Copy a tree with its modes and times, including fifos and symlinks."""
    for at, folders, files in os.walk(source):
        there = target / Path(at).relative_to(source)
        for name in folders + files:
            one = Path(at, name)
            mode = one.lstat().st_mode
            if stat.S_ISLNK(mode):
                os.symlink(os.readlink(one), there / name)
            elif stat.S_ISDIR(mode):
                (there / name).mkdir()
            elif stat.S_ISFIFO(mode):
                os.mkfifo(there / name)
            else:
                shutil.copy(one, there / name)
            if not stat.S_ISDIR(mode):
                shutil.copystat(one, there / name, follow_symlinks=False)
    for at, _, _ in os.walk(source, topdown=False):
        shutil.copystat(at, target / Path(at).relative_to(source))


def look(root: Path, own=()):
    """Return type, content, mode and time of a folder and everything below it."""
    found = {}
    todo = [Path()]
    while todo:
        name = todo.pop()
        full = root / name
        state = full.lstat()
        if (state.st_dev, state.st_ino) in own:
            continue
        kind, content = stat.S_IFMT(state.st_mode), b""
        if stat.S_ISREG(kind):
            content = full.read_bytes()
        elif stat.S_ISLNK(kind):
            content = os.fsencode(os.readlink(full))
        found[str(name)] = (kind, content, stat.S_IMODE(state.st_mode), state.st_mtime_ns)
        if stat.S_ISDIR(kind):
            todo += [name / inner for inner in os.listdir(full)]
    return found
