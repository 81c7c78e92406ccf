"""Differential fuzzing: archives made with the right key and changed somewhere, for two readers.

    python -m tests.laws.fuzz FIRST LAST

prints one JSON object: how many archives both readers restored and both refused, the seeds about
which they disagree, and the memory of the process in MB. Undeclared exceptions end the process.
"""

import contextlib
import io
import json
import random
import re
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import zstandard

import rescue
from packrat.restore.choose import choose
from tests.helpers.house import House, cheap_keys
from tests.helpers.restoring import restore
from tests.helpers.trees import differences
from tests.tiny_writer import Draft
from vault.errors import VaultError

VALUES: list[Any] = [
    None, True, -1, 0, 1, 2, 64, 2**31, 2**32, 2**63 - 1, 2**63, 2**64, 1.5, 1e300,
    "", "x", "a", "a/b", "..", "/", "\0", "\ud800", "0" * 32, "g" * 32, "AA==", "%", "x" * 70_000,
    [], [[]], {}, [0, 0], [1, 2, 3, 4, 5], "file", "dir", "stream", "symlink", "char",
]  # fmt: skip
PARTS = [bytes([n % 256]) * (n % 7 + 1) for n in range(150)]


def common(path: str, **more: Any) -> dict[str, Any]:
    return {"path": path, "mode": 0o600, "mtime": 10**18} | more


def entries(draft: Draft, base: Draft) -> list[dict[str, Any]]:
    """Store some content, and return one entry of every type that needs no root."""
    small, tail, old = *draft.store(b"d", b"small", b"tail"), *base.store(b"d", b"from the base")
    lists = draft.listed(draft.store(b"d", *PARTS), 70)
    return [
        common("", type="dir", mode=0o700),
        common("a", size=5, chunks=[small], xattrs={"user.note": "eA=="}),
        common("big", size=sum(map(len, PARTS)), lists=lists),
        common("d", type="dir", mode=0o700),
        common("d/link", type="symlink", target="../a"),
        common("d/old", size=13, chunks=[old], link=[1, 2]),
        common("d/twin", size=13, chunks=[old], link=[1, 2]),
        common("fifo", type="fifo"),
        common("sparse", size=100, extents=[[10, 5], [50, 4]], chunks=[small, tail]),
    ]


def places(value: Any) -> list[tuple[Any, Any]]:
    """Return (container, key) of everything inside a JSON value."""
    keys = value if isinstance(value, dict) else range(len(value) if isinstance(value, list) else 0)
    found = [(value, key) for key in keys]
    return found + [inner for key in keys for inner in places(value[key])]


def change(value: Any, r: random.Random) -> None:
    """Change something inside a JSON value, in place."""
    found = places(value)
    if not found:
        return
    container, key = r.choice(found)
    old = container[key]
    match r.randrange(6):
        case 0:
            del container[key]
        case 1 if isinstance(container, list):
            container.insert(key, json.loads(json.dumps(old)))
        case 2 if isinstance(container, list):
            r.shuffle(container)
        case 3 if type(old) is int:
            container[key] = old + r.choice([-1, 1, 100, -100])
        case 4:
            other, name = r.choice(found)
            container[key] = json.loads(json.dumps(other[name]))
        case _:
            container[key] = r.choice(VALUES)


def packed(r: random.Random) -> Any:
    """Return a compressor that makes frames which no writer makes."""

    def pack(plain: bytes) -> bytes:
        good = zstandard.compress(plain)
        match r.randrange(5):
            case 0:
                return good + good
            case 1:
                return good + b"more"
            case 2:
                return good[:-1]
            case 3:
                return zstandard.ZstdCompressor(write_content_size=False).compress(plain)
            case _:
                return zstandard.compress(plain + b" ")

    return pack


def changed(r: random.Random) -> tuple[Draft, Draft]:
    """Return a base, and an archive in the making that refers to it and was changed somewhere."""
    master = cheap_keys().master
    base = Draft(master, time="20260101T000000Z", id=r.randbytes(16))
    draft = Draft(master, id=r.randbytes(16), bases=[base])
    found = entries(draft, base)
    where = r.choice(["nothing", "entries", "entries", "blocks", "manifest", "manifest", "pack"])
    if where == "entries":
        for _ in range(r.choice([1, 1, 2])):
            change(found, r)
    base.index([common("", type="dir")])
    with tempfile.TemporaryDirectory() as folder:
        base.save(Path(folder))  # its size is in the manifest of the other
    try:
        draft.index(found, block=r.choice([1, 3, 100]))
    except (TypeError, AttributeError, ValueError):  # cannot even be sorted: another one, then
        return changed(r)
    if where == "blocks":
        change(draft.blocks, r)
        draft.manifest["index"] = draft.listed(draft.blocks)
    elif where == "manifest":
        change(draft.manifest, r)
    elif where == "pack":
        draft.pack = packed(r)
    return base, draft


def verdict(seed: int, house: House) -> tuple[bool, bool, list[str]]:
    """Return whether packrat and rescue.py restored the archive, and how the results differ."""
    base, draft = changed(random.Random(seed))
    base.save(house.store)
    archive = draft.save(house.store)
    ours, theirs = house.root / "ours", house.root / "theirs"
    silence, unchecked = io.StringIO(), False
    with contextlib.redirect_stderr(silence), contextlib.redirect_stdout(silence):
        try:
            chosen = choose(house.program, house.service, draft.id[:4].hex())
            done = restore(house.program, house.service, chosen, target=str(ours))
            by_packrat = not done.lost
            unchecked = any("other content" in warning for warning in done.warnings)
        except VaultError as error:
            by_packrat = False
            unchecked = "has other content" in str(error)  # rescue.py has no BLAKE3 for chunk ids
        key = str(house.key_file)
        by_rescue = rescue.main([str(archive), str(theirs), "--key-file", key]) == 0
    if unchecked:
        return by_rescue, by_rescue, []
    unlike = differences(ours, theirs) if by_packrat and by_rescue else []
    # An index without the service's own folder leaves its time to the moment.
    return by_packrat, by_rescue, [one for one in unlike if not one.startswith(".: ")]


def main(first: int, last: int) -> None:
    """Try the seeds from `first` up to `last`, and print the result."""
    counts, disagreed = {"both": 0, "neither": 0}, []
    for seed in range(first, last):
        folder = Path(tempfile.mkdtemp(prefix="fuzz-"))
        try:
            ours, theirs, unlike = verdict(seed, House(folder))
        finally:
            shutil.rmtree(folder)
        if ours != theirs or unlike:
            disagreed.append([seed, ours, theirs, unlike])
        else:
            counts["both" if ours else "neither"] += 1
    # Not ru_maxrss, which begins with the size of the process that started this one.
    [peak] = re.findall(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    memory = int(peak) // 1024
    sys.stdout.write(json.dumps(counts | {"disagreed": disagreed, "memory": memory}) + "\n")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
