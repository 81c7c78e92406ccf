"""Law 2 on hostile filesystems: published archives restore, and differences were warned of."""

import contextlib
import errno
import itertools
import json
import os
import stat
import sys
from pathlib import Path

import pytest
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from tests.helpers.hostile_fs import mounted
from tests.helpers.house import House
from tests.helpers.sampling import examples

sys.path.append(str(Path(__file__).parents[2]))
import rescue

FOR_EVER = 10**9
EXT4_SECONDS = range(-(2**31) + 1, 2**34 - 2**31 - 1)
"""Times that the restore target can store; the kernel clamps others to these."""

owners = st.sampled_from([0, 1000, 65534, 2**32 - 2, 2**32 - 1])
seconds = st.sampled_from([0, -1, 1_700_000_000, 2**40, -(2**40), 2**62, -(2**62), 2**63 - 1])
inodes = st.sampled_from([7, 2**63 + 7, 2**64 - 1])
windows = st.one_of(
    st.just([1, FOR_EVER]),
    st.tuples(st.integers(1, 4), st.integers(1, 3)).map(lambda w: [w[0], sum(w)]),
)
codes = st.sampled_from([errno.EIO, errno.EACCES, errno.ESTALE, errno.ENOMEM, errno.EINVAL])
faults = st.dictionaries(
    st.sampled_from(["getattr", "open", "read", "readdir", "readlink", "listxattr", "getxattr"]),
    st.tuples(codes, windows).map(lambda fault: [fault[0], *fault[1]]),
    max_size=2,
)
CONTENTS = {
    "none": "",
    "one": "x",
    "some": "hello " * 20,
    "zeros": "\0" * 5000,
    "big": "big" * 500_000,
}
contents = st.sampled_from(sorted(CONTENTS))
common = {
    "mode": st.sampled_from([0, 0o600, 0o755, 0o7777]),
    "uid": owners,
    "gid": owners,
    "seconds": seconds,
    "xattrs": st.dictionaries(
        st.sampled_from(["user.x", "user.\udcff", "trusted.y"]),
        st.sampled_from(["", "value", "v" * 30]),
    ),
    "faults": st.one_of(st.just({}), faults),
}
files = st.fixed_dictionaries(
    {"type": st.just("file"), "content": contents, **common},
    optional={
        "nlink": st.just(2),
        "shared": inodes,
        "size": st.sampled_from([0, 1, 4096, 2_000_000, 2**40, 2**62]),
        "blocks": st.just(0),
        "versions": st.lists(st.tuples(st.integers(2, 12), contents), max_size=2),
    },
)
others = st.fixed_dictionaries(
    {
        "type": st.sampled_from(["fifo", "symlink"]),
        "target": st.sampled_from(["a", "\udcff", "x" * 40, ""]),
        **common,
    },
    optional={"nlink": st.just(2), "shared": inodes},
)
folders = st.fixed_dictionaries(
    {
        "type": st.just("dir"),
        "again": st.lists(st.sampled_from(["a", "b", "ghost"]), max_size=2),
        **common,
    }
)
names = st.sampled_from(["a", "b", "a-b", "ä", "\udcff", "line\nbreak", "n" * 255])
trees = st.recursive(
    st.one_of(files, others),
    lambda inner: st.tuples(folders, st.dictionaries(names, inner, max_size=4)),
    max_leaves=8,
)


def plan_of(tree, path=""):
    """Convert nested nodes to path -> node, with their own times and inodes."""
    numbers = itertools.count(100)

    def nodes(path, tree):
        node, below = tree if isinstance(tree, tuple) else (tree, {})
        number = next(numbers)
        node = dict(node)
        node["mtime"] = node.pop("seconds") * 10**9 + number
        node["ino"] = node.pop("shared", number)
        node["content"] = CONTENTS[node.get("content", "none")]
        versions = node.pop("versions", [])
        if versions:  # a file that lies about its size and changes has no state to compare with
            node.pop("size", None)
        node["versions"] = [
            [n, CONTENTS[c], node["mtime"] + 1000 * (k + 1)] for k, (n, c) in enumerate(versions)
        ]
        yield path, node
        for name, inner in below.items():
            yield from nodes(f"{path}/{name}" if path else name, inner)

    return dict(nodes(path, tree))


def attributes(path):
    found = {}
    for name in os.listxattr(path, follow_symlinks=False):
        with contextlib.suppress(OSError):  # the kernel allows user.* only on files and folders
            found[name] = os.getxattr(path, name, follow_symlinks=False)
    return found


def snapshot(root):
    """Return path -> its observable state."""
    found = {}
    pending = [""]
    while pending:
        path = pending.pop()
        at = os.path.join(root, path) if path else str(root)
        try:
            state = os.lstat(at)
        except FileNotFoundError:
            continue  # listed, although there is no such file
        seen = {"type": stat.S_IFMT(state.st_mode), "owner": (state.st_uid, state.st_gid)}
        if state.st_mtime_ns // 10**9 in EXT4_SECONDS:
            seen["mtime"] = state.st_mtime_ns
        seen["xattrs"] = attributes(at)
        if stat.S_ISLNK(state.st_mode):
            seen["target"] = os.readlink(at)
        else:
            seen["mode"] = stat.S_IMODE(state.st_mode)
        if stat.S_ISREG(state.st_mode):
            with open(at, "rb") as file:
                seen["content"] = file.read(10_000_000)
        if stat.S_ISDIR(state.st_mode):
            pending += [os.path.join(path, name) for name in set(os.listdir(at))]
        found[path] = seen
    return found


def versions_of(node):
    """Return the (content, mtime) that a file had at any time."""
    states = [(node.get("content", ""), node["mtime"]), *((c, m) for _, c, m in node["versions"])]
    return [(content.encode("latin-1"), mtime) for content, mtime in states]


def unexplained(plan, truth, restored, warnings):
    """Return the paths that differ from the source without a warning that names them."""
    said = "\n".join(warnings)
    wrong = []
    for path in {**truth, **restored}:
        there, here = truth.get(path), restored.get(path)
        if there and here and plan[path]["type"] == "file" and plan[path]["versions"]:
            state = here["content"], here.get("mtime")
            if any(c == state[0] and state[1] in (m, None) for c, m in versions_of(plan[path])):
                there = there | {key: here[key] for key in ("content", "mtime") if key in here}
        if there == here:
            continue
        above = [path, *(path[:at] for at, letter in enumerate(path) if letter == "/")]
        if here is not None:
            above = [path]
        if not any(repr(one) in said for one in above):
            keys = sorted({*(there or ()), *(here or ())})
            apart = [key for key in keys if (there or {}).get(key) != (here or {}).get(key)]
            both = [[str((side or {}).get(key))[:60] for key in apart] for side in (there, here)]
            wrong.append((path, *zip(apart, *both, strict=True)))
    return wrong


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    with mounted(tmp_path_factory.mktemp("hostile")) as at:
        yield (*at, itertools.count(1))


@pytest.mark.root
@settings(max_examples=examples(15), phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(
    tree=st.tuples(
        folders.map(lambda f: f | {"faults": {}}), st.dictionaries(names, trees, max_size=5)
    ),
    again=st.booleans(),
)
@pytest.mark.thorough
def test_every_archive_of_a_hostile_filesystem_restores(tmp_path_factory, hostile, tree, again):
    """By packrat and by rescue.py alike; a warning names each path that differs."""
    mount, plans, numbers = hostile
    number = str(next(numbers))
    plan = plan_of(tree)
    (plans / f"{number}.json").write_text(json.dumps(plan))
    house = House(tmp_path_factory.mktemp("house"), settings={"path": str(mount / number)})
    result = house.back_up()
    if again:
        result = house.back_up()
    (plans / f"{number}.calm").touch()
    assert result.status in ("done", "partial"), result
    assert [verdict.status for verdict in house.verify()] == ["ok"] * len(house.archives)
    restored = snapshot(house.restore())
    rescued = house.root / "rescued"
    newest = str(house.archives[-1])
    assert rescue.main([newest, str(rescued), "--key-file", str(house.key_file)]) == 0
    assert snapshot(rescued) == restored
    truth = snapshot(mount / number)
    assert not unexplained(plan, truth, restored, result.warnings)
