"""Malicious archives made with the right key: nothing outside the target ever changes."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest

from packrat.errors import explain
from tests.helpers.house import House, cheap_keys
from tests.helpers.needs import need_readable_code
from tests.helpers.transcript import check_golden
from tests.helpers.trees import digest
from tests.test_rescue import ATTACKS
from tests.tiny_writer import Draft
from vault.archive.format import encode
from vault.errors import VaultError

GOLDEN = Path(__file__).parent / "golden" / "hostile.txt"
ESCAPES = "\x1b]0;owned\x07\x1b[2J\u202egpj.exe\r\nrm -rf /"


def entry(path, **more):
    return {"path": path, "type": "file", "mode": 0o644, "uid": 0, "gid": 0, "mtime": 10**18} | more


def folder(path, **more):
    return entry(path, type="dir", mode=0o755, **more)


MORE = [
    [folder("d"), folder("d")],
    [entry("b"), entry("a")],
    [folder("d"), entry("d/a", type="symlink", target="GUARD"), entry("d/a/new")],
    [folder("d", chunks=[["0" * 32, "0" * 32, 2, 0, 1]])],
    [entry("l", type="symlink", target="nul\0")],
    [entry("l", type="symlink", target64="x")],
    [entry("x", path64="x")],
    [entry("c", type="char", device=[-1, 2**40])],
    [entry("f", mode=-1)],
    [entry("f", uid=-5)],
    [entry("f", size=2**70)],
    [entry("/".join(["d" * 200] * 3))],
    [entry("l", type="symlink", target="GUARD", link=[1, 2]), entry("m", link=[1, 2])],
]
"""Cases that only packrat's own way of restoring could fail on."""


@pytest.fixture
def trap(tmp_path):
    """House, and a folder next to it that nothing may touch."""
    guard = tmp_path / "guard"
    guard.mkdir()
    (guard / "file").write_bytes(b"as it was")
    return House(tmp_path / "house")


def state(guard):
    return [
        (p.name, p.lstat().st_mtime_ns, p.is_file() and digest(p))
        for p in sorted([guard, *guard.rglob("*")])
    ]


def plant(house, entries, /, **manifest):
    """Add an archive with this index, and otherwise correct, to the backups."""
    draft = Draft(cheap_keys().master)
    draft.index([])
    text = json.dumps(entries).replace("GUARD", str(house.root.parent / "guard"))
    (block,) = draft.store(b"i", text.encode())
    first = {k.replace("path", "first"): v for k, v in entries[0].items() if "path" in k}
    draft.manifest["index"] = draft.listed([first | {"entries": len(entries), "chunk": block}])
    files = sum(entry.get("type") != "dir" for entry in entries)
    draft.manifest |= {"entries": len(entries), "files": files, "normal": [0, 0]}
    draft.manifest |= manifest
    return draft.save(house.store)


def harmless(done):
    """Assert that the output moves no cursor and reports no internal error."""
    said = done.stdout + done.stderr
    assert "Traceback" not in said
    assert "unexpected" not in said
    assert not set(said) & {"\x1b", "\x07", "\r", "\u202e"}
    return said


@pytest.mark.parametrize("attack", [*ATTACKS, *MORE], ids=lambda a: json.dumps(a)[:60])
def test_a_hostile_index_is_refused_before_anything_is_written(trap, attack):
    """Whatever the entries say: a message, exit 4, no target, and nothing outside has changed."""
    before = state(trap.root.parent / "guard")
    plant(trap, attack)
    out = trap.root / "deep" / "out"
    with pytest.raises(VaultError) as raised:
        trap.restore("deep/out")
    status, message = explain(raised.value)
    assert status == 4
    assert "there is no backup" not in message
    assert not out.exists()
    assert state(trap.root.parent / "guard") == before


def test_names_are_shown_harmless_wherever_they_are(trap):
    """Escapes, bells, direction changes and line breaks in names never reach a terminal."""
    plant(trap, [folder(ESCAPES.replace("/", "")), entry("l", type="symlink", target=ESCAPES)])
    for words in (
        ["list"],
        ["ls", "svc"],
        ["ls", "svc", "--json"],
        ["ls", "svc", "latest", "nowhere\x1b[2J"],
        ["restore", "svc", "--to", str(trap.root / "\x1b[2Jout"), "--yes"],
        ["restore", "svc", "--to", str(trap.root / "out"), "--yes", "--path", ESCAPES],
        ["verify", "--deep"],
    ):
        harmless(trap.cli(*words))
    assert (trap.root / "\x1b[2Jout" / "l").is_symlink(), "a name is a name"


@pytest.mark.parametrize(
    "lie",
    [
        {"time": "99999999T999999Z"},
        {"id": "00" * 16},
        {"index": [["0" * 32, "ab" * 16, 2, 0, 5]]},
        {"index": [["0" * 32, "ab" * 16, -1, -3, 5]]},
        {"service": "other"},
    ],
    ids=lambda lie: next(iter(lie)),
)
def test_a_manifest_that_lies_is_an_error(trap, lie):
    """No such time, another id or service, an index elsewhere: reported, without a crash."""
    plant(trap, [entry("f", size=0)], **lie)
    for words in (["list"], ["ls", "svc"], ["verify"]):
        harmless(trap.cli(*words))
    done = trap.cli("restore", "svc", "--to", str(trap.root / "out"), "--yes")
    harmless(done)
    assert done.returncode == 4


@pytest.mark.root
def test_without_root_devices_and_owners_are_counted_and_the_rest_is_there(trap):
    """Unset properties are reported with the names; exit 5; nothing else is missing."""
    need_readable_code()
    entries = [
        entry("disk", type="block", device=[7, 0]),
        entry("f", uid=1234),
        entry("null", type="char", device=[1, 3], link=[1, 2]),
        entry("null too", type="char", device=[1, 3], link=[1, 2]),
    ]
    plant(trap, entries)
    subprocess.run(["chown", "-R", "65534:65534", trap.root], check=True)
    for above in (trap.root, *trap.root.parents[:-2]):
        os.chmod(above, 0o755)
    user = ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")
    done = trap.cli("restore", "svc", "--to", str(trap.root / "out"), "--yes", wrap=user)
    assert done.returncode == 5
    assert os.listdir(trap.root / "out") == ["f"]
    said = harmless(done).replace(str(trap.root), "ROOT")
    said = re.sub(r"of backup \w+", "of backup ID", re.sub(r"in \S+ s\n", "in N s\\n", said))
    check_golden(GOLDEN, "without root", said)


def test_entries_written_by_packrat_are_plausible():
    """The bounds of an entry are those that its own writer obeys."""
    from vault.archive.format import Entry, decode_entries

    widest = Entry("x", mode=0o7777, uid=2**32 - 2, mtime=-(2**62), size=2**62)
    assert decode_entries(encode([widest])) == [widest]


def test_a_name_too_long_for_the_target_costs_only_itself(trap):
    """Another hard link of the same file is restored, exit 5, and the loss is named."""
    draft_links = {"size": 0, "link": [1, 2]}
    long, deep = "n" * 300, "o" * 300
    plant(
        trap,
        [
            entry("a"),
            entry(long, **draft_links),
            folder(deep),
            entry(f"{deep}/in"),
            entry("other", **draft_links),
        ],
    )
    out = trap.root / "out"
    done = trap.cli("restore", "svc", "--to", str(out), "--yes")
    assert done.returncode == 5, done.stderr
    assert "3 files cannot be restored: their names are too long" in harmless(done)
    assert sorted(os.listdir(out)) == ["a", "other"]
