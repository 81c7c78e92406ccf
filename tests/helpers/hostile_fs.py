"""FUSE filesystem that misbehaves by plan: a separate program, one mount for many trees.

`python hostile_fs.py MOUNT PLANS` serves the tree `/N` from `PLANS/N.json`: path -> node. A node
has the values of lstat, a content or target, attributes, and `faults`: call -> [errno, first call
that fails, first that does not]. Once `PLANS/N.calm` exists, no call fails any more, but the nodes
keep their absurd values. `versions` are [call, content, mtime], valid from that call on.
"""

import contextlib
import errno
import json
import os
import stat
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

from tests.helpers.needs import lacks

KINDS = {"file": stat.S_IFREG, "dir": stat.S_IFDIR, "symlink": stat.S_IFLNK, "fifo": stat.S_IFIFO}
OPTIONS = {"attr_timeout": 0, "entry_timeout": 0, "negative_timeout": 0, "ac_attr_timeout": 0}


def serve(mount: str, plans: str) -> None:
    os.environ["FUSE_LIBRARY_NAME"] = "fuse"  # libfuse 2, where use_ino is an option
    import mfusepy

    class Hostile(mfusepy.Operations):
        use_ns = True

        def __init__(self):
            self.trees, self.calls = {}, Counter()

        def tree(self, path):
            number = path.split("/")[1]
            if number not in self.trees:
                try:
                    self.trees[number] = json.loads(Path(plans, f"{number}.json").read_text())
                except OSError:
                    raise mfusepy.FuseOSError(errno.ENOENT) from None
            return number, self.trees[number]

        def node(self, path, call):
            number, tree = self.tree(path)
            below = path.removeprefix(f"/{number}").removeprefix("/")
            if below not in tree:
                raise mfusepy.FuseOSError(errno.ENOENT)
            node = tree[below]
            self.calls[path, call] += 1
            self.calls[path, "any"] += 1
            if call in node.get("faults", {}) and not os.path.exists(f"{plans}/{number}.calm"):
                code, first, end = node["faults"][call]
                if first <= self.calls[path, call] < end:
                    raise mfusepy.FuseOSError(code)
            return node

        def version(self, path, node):
            content, mtime = node.get("content", ""), node["mtime"]
            for call, later, changed in node.get("versions", ()):
                if self.calls[path, "any"] >= call:
                    content, mtime = later, changed
            return content.encode("latin-1"), mtime

        def getattr(self, path, fh=None):
            if path == "/":
                return {"st_mode": stat.S_IFDIR | 0o755, "st_nlink": 2, "st_ino": 1}
            node = self.node(path, "getattr")
            content, mtime = self.version(path, node)
            size = node.get("size", len(content))
            return {
                "st_mode": KINDS[node["type"]] | node["mode"],
                "st_uid": node["uid"],
                "st_gid": node["gid"],
                "st_nlink": node.get("nlink", 1),
                "st_ino": node["ino"],
                "st_size": size,
                "st_blocks": node.get("blocks", (size + 511) // 512),
                "st_mtime": mtime,
                "st_ctime": mtime,
                "st_atime": 0,
            }

        def readdir(self, path, fh):
            if path == "/":
                return [".", ".."]
            node = self.node(path, "readdir")
            number, tree = self.tree(path)
            below = path.removeprefix(f"/{number}").removeprefix("/")
            prefix = below + "/" if below else ""
            names = [p.removeprefix(prefix) for p in tree if p.startswith(prefix) and p]
            names = [name for name in names if name and "/" not in name]
            # The C library skips an entry without an inode.
            return [
                (name, {"st_ino": 1}, 0) for name in [".", "..", *names, *node.get("again", ())]
            ]

        def open(self, path, flags):
            self.node(path, "open")
            return 0

        def read(self, path, size, offset, fh):
            return self.version(path, self.node(path, "read"))[0][offset : offset + size]

        def readlink(self, path):
            return self.node(path, "readlink")["target"]

        def listxattr(self, path):
            return list(self.node(path, "listxattr").get("xattrs", {}))

        def getxattr(self, path, name, position=0):
            node = self.node(path, "getxattr")
            if name not in node.get("xattrs", {}):
                raise mfusepy.FuseOSError(errno.ENODATA)
            return node["xattrs"][name].encode("latin-1")

    mfusepy.FUSE(
        Hostile(), mount, foreground=True, nothreads=True, ro=True, use_ino=True, direct_io=True,
        allow_other=True, **OPTIONS,
    )  # fmt: skip


def missing() -> str:
    """Return what this machine lacks for a FUSE filesystem; empty if nothing."""
    from ctypes.util import find_library

    if not os.path.exists("/dev/fuse"):
        return "needs /dev/fuse: run with --device /dev/fuse --cap-add SYS_ADMIN"
    if find_library("fuse") is None:
        return "needs libfuse 2: apt-get install libfuse2"
    return "" if os.geteuid() == 0 else "needs root: FUSE for other users"


@contextlib.contextmanager
def mounted(folder: Path):
    """Serve hostile trees below `folder`; yield (mount, plans)."""
    if why := missing():
        lacks(why)
    mount, plans = folder / "mount", folder / "plans"
    mount.mkdir()
    plans.mkdir()
    server = subprocess.Popen([sys.executable, __file__, mount, plans])
    try:
        for _ in range(200):
            if os.path.ismount(mount):
                break
            assert server.poll() is None
            time.sleep(0.05)
        yield mount, plans
    finally:
        subprocess.run(["umount", "-l", mount], check=False)
        server.kill()
        server.wait()


if __name__ == "__main__":
    serve(*sys.argv[1:])
