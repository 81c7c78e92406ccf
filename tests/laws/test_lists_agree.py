"""Agreement of rescue.py and packrat on chunk lists and block lists, also on hostile ones."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

import rescue
from tests.helpers.house import cheap_keys
from tests.helpers.sampling import daily
from tests.tiny_writer import Draft
from vault.archive.ranges import BLOCK_ENTRIES, LIST_MOST, LISTED_FROM
from vault.errors import VaultError

RESCUE = Path(__file__).parents[2] / "rescue.py"
PARTS = [bytes([n % 256]) * (n % 7 + 1) for n in range(200)]
DATA = b"".join(PARTS)
MIB = 1 << 20


def common(path, **more):
    return {"path": path, "mode": 0o755, "mtime": 10**18} | more


def listed(draft, parts=PARTS, length=70):
    """Return an entry of a file in chunk lists of this length."""
    lists = draft.listed(draft.store(b"d", *parts), length)
    return common("big", size=sum(map(len, parts)), lists=lists)


def verdicts(house, draft):
    """Restore with both programs; return which of them did, after comparing what they wrote."""
    archive = draft.save(house.store)
    outs = [house.root / "by packrat", house.root / "by rescue"]
    done = []
    try:
        house.restore(outs[0].name)
        done.append("packrat")
    except VaultError:
        assert not outs[0].exists()
    if rescue.main([str(archive), str(outs[1]), "--key-file", str(house.key_file)]) == 0:
        done.append("rescue")
    else:
        assert not outs[1].exists()
    statuses = {verdict.status for verdict in house.verify()}
    assert (statuses == {"ok"}) == ("packrat" in done), statuses
    for out in outs if len(done) == 2 else ():
        found = {p.name: p.read_bytes() for p in out.iterdir() if p.is_file()}
        assert found.get("big", DATA) == DATA
    return done


BOTH, NEITHER = ["packrat", "rescue"], []


@pytest.fixture
def draft(house):
    """Return an archive in the making, under the keys of the house."""
    return Draft(cheap_keys().master)


@pytest.mark.parametrize("length", [1, 70, 200, LIST_MOST])
@pytest.mark.parametrize("more", [0, 1])
def test_lists_are_restored_wherever_they_are_cut(house, draft, length, more):
    """A reader does not depend on how a writer cuts; a block list with one block is one as well."""
    files = [common(f"f{n:03}") for n in range(more * 300)]
    draft.index([common("", type="dir"), listed(draft, length=length), *files], block=2)
    assert verdicts(house, draft) == BOTH


def test_all_names_of_a_file_have_its_lists(house, draft):
    """Hard links are one file also where its chunks are in lists."""
    first = listed(draft) | {"link": [1, 2]}
    draft.index([first, first | {"path": "big2", "average": 65536}])
    assert verdicts(house, draft) == BOTH
    out = house.root / "by rescue"
    assert (out / "big").stat().st_ino == (out / "big2").stat().st_ino


def test_lists_of_another_archive_are_read(house, draft):
    """Lists may be anywhere, and refer to chunks anywhere."""
    base = Draft(draft.master, time="20260101T000000Z")
    entry = listed(base)
    base.index([entry])
    base.save(house.store)
    draft.bases = [base]
    tail = draft.listed(draft.store(b"d", b"new"), 1)
    draft.index([entry | {"path": "bigger", "size": len(DATA) + 3, "lists": entry["lists"] + tail}])
    assert verdicts(house, draft) == BOTH


def wrong(edit):
    """Return a case in which the entry of a listed file is changed."""

    def build(draft):
        entry = listed(draft)
        edit(draft, entry)
        draft.index([entry])

    return build


def replaced(content):
    """Return a case in which the first list has this content."""

    def edit(draft, entry):
        entry["lists"][0] = draft.store(b"i", content)[0]

    return wrong(edit)


def long_list(draft, entry):
    chunks = draft.store(b"d", *[b"x"] * (LIST_MOST + 1))
    entry.update(lists=draft.listed(chunks, LIST_MOST + 1), size=LIST_MOST + 1)


def inline(draft, entry):
    chunks = draft.store(b"d", *[b"x"] * (LISTED_FROM + 1))
    entry.pop("lists")
    entry.update(chunks=chunks, size=LISTED_FROM + 1)


def padded(draft, entry):
    [place] = draft.store(b"i", json.dumps(draft.store(b"d", DATA)).encode() + b" " * MIB)
    entry["lists"] = [place]


def blocks(edit):
    """Return a case in which the items of the block list are changed."""

    def build(draft):
        draft.index([common(f"f{n}") for n in range(9)])
        draft.manifest["index"] = draft.listed(edit(draft, draft.blocks), 1000)

    return build


def many_entries(draft):
    draft.index([common(f"f{n:05}") for n in range(BLOCK_ENTRIES + 1)], block=1000)


def long_block(draft):
    long = "x" * 60_000
    entries = [common(f"{n:02}{long}", type="symlink", target="t") for n in range(20)]
    draft.index(entries, block=20)


CASES = {
    "one byte too few": wrong(lambda _, entry: entry.update(size=entry["size"] + 1)),
    "one byte too many": wrong(lambda _, entry: entry.update(size=entry["size"] - 1)),
    "a list is missing": wrong(lambda _, entry: entry["lists"].pop()),
    "no data for an extent": wrong(lambda _, entry: entry.update(extents=[[0, 5]])),
    "a chunk over a hole": wrong(
        lambda _, entry: entry.update(
            size=len(DATA) + 9, extents=[[0, len(PARTS[0]) + 1], [9, len(DATA) - 2]]
        )
    ),
    "a list twice": wrong(lambda _, entry: entry["lists"].append(entry["lists"][0])),
    "a list is a data chunk": wrong(
        lambda draft, entry: entry.update(lists=draft.store(b"d", b'[["a"]]'))
    ),
    "chunks and lists": wrong(lambda draft, e: e.update(chunks=draft.store(b"d", DATA))),
    "too many chunks": wrong(inline),
    "a list is too long": wrong(long_list),
    "a list has spaces up to a MiB": wrong(padded),
    "a list beyond its segment": wrong(lambda _, e: e["lists"][-1].__setitem__(4, 10**6)),
    "a list of no length": wrong(lambda _, e: e["lists"][-1].__setitem__(4, 0)),
    "a frame that is not there": wrong(lambda _, e: e["lists"][-1].__setitem__(2, 99)),
    "another archive": wrong(lambda _, e: e["lists"][-1].__setitem__(1, "cd" * 16)),
    "an average of one byte": wrong(lambda _, e: e.update(average=1)),
    "a folder with lists": wrong(lambda _, e: (e.update(type="dir"), e.pop("size"))),
    "an empty list": replaced(b"[]"),
    "an object": replaced(b"{}"),
    "half a list": replaced(b'[["'),
    "a deep list": replaced(b"[" * 50_000 + b"]" * 50_000),
    "a number": replaced(b"[5]"),
    "text behind": replaced(b"[] []"),
    "a block fewer": blocks(lambda _, items: items[1:]),
    "a block twice": blocks(lambda _, items: [*items, items[-1]]),
    "blocks in another order": blocks(lambda _, items: items[::-1]),
    "wrong count": blocks(lambda _, items: [items[0] | {"entries": 2}, *items[1:]]),
    "no count": blocks(lambda _, items: [items[0] | {"entries": 0}, *items[1:]]),
    "another first path": blocks(lambda _, items: [items[0] | {"first": "g"}, *items[1:]]),
    "a block list that is too long": blocks(lambda _, items: items * 100),
    "blocks beyond their segment": blocks(
        lambda _, items: [i | {"chunk": [*i["chunk"][:4], 10**6]} for i in items]
    ),
    "a block with too many entries": many_entries,
    "a block of more than a MiB": long_block,
}


@pytest.mark.parametrize("case", CASES)
def test_both_refuse_what_the_format_does_not_allow(house, draft, case):
    """Whatever lists say: the same verdict, before anything is written, and one of verify."""
    CASES[case](draft)
    assert verdicts(house, draft) == NEITHER


BOMBS = {
    "entries": (b"[", b"{},", b"{}]", 13 * MIB),
    "extents": (b'[{"path":"f","extents":[', b"[0,1],", b"[0,1]]}]", 6 * MIB),
    "lists": (b'[{"path":"f","lists":[', b'["","",0,0,0],', b"[]]}]", 2 * MIB),
    "blocks": (b"[", b"{},", b"{}]", 13 * MIB),
    "table": (b'{"frames":[', b"[0,1],", b"[0,1]]}", 20 * MIB),
}


@pytest.mark.parametrize("name", daily([*BOMBS], ["blocks"]))
def test_a_small_archive_takes_no_gigabyte(house, draft, name):
    """An index of a few KB that expands to millions of items is refused with 1 GiB of memory."""
    first, item, last, count = BOMBS[name]
    blocks = first + item * count + last
    draft.index([common("f")])
    if name not in ("blocks", "table"):
        [place] = draft.store(b"i", blocks)
        blocks = json.dumps([{"first": "f", "entries": 1, "chunk": place}]).encode()
    if name != "table":
        draft.manifest["index"] = draft.store(b"i", blocks)
    archive = draft.save(house.store, table=blocks if name == "table" else None)
    assert archive.stat().st_size < 20_000
    limited = ["prlimit", f"--as={1 << 30}"]
    out = str(house.root / "out")
    words = [sys.executable, str(RESCUE), str(archive), out, "--key-file", str(house.key_file)]
    by_rescue = subprocess.run([*limited, *words], capture_output=True, text=True, check=False)
    by_packrat = house.cli("restore", "svc", "--to", out, "--yes", wrap=tuple(limited))
    assert by_rescue.returncode == 1, by_rescue.stderr
    assert by_packrat.returncode == 4, by_packrat.stderr
    for said in (by_rescue.stderr, by_packrat.stderr):
        assert "Traceback" not in said
        assert "memory" not in said, "it was parsed"
