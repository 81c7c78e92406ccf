"""Looking inside backups without restoring: find, diff, cat, usage, and the filesystem."""

import json
import os
import re
import shutil
import time
from pathlib import Path

import pytest
import yaml

from engine.run import Clock
from packrat.browse.library import AllBackups, folder_names
from tests.helpers.house import House
from tests.helpers.transcript import check_golden
from tests.helpers.trees import fill, noise
from vault.browse import PackratFileSystem
from vault.store.local import Local
from vault.store.s3 import S3

GOLDEN = Path(__file__).parent / "golden" / "looking.txt"
DOCS = Path(__file__).parents[2] / "docs"


def later(house, *, full=False):
    """Create a backup that is dated after those before; return its id."""
    now = time.time_ns() - 10**13 + len(house.archives) * 10**10
    result = house.back_up(full=full, clock=Clock(now=lambda: now))
    assert (result.status, result.error) == ("done", None)
    return house.archives[-1].stem[-8:]


def shown(house, *words):
    """Run a command; return what a terminal shows, with what differs by run replaced, as wide."""
    done = house.cli(*words)
    text = f"$ packrat {' '.join(words)}\n{done.stdout}{done.stderr}-> {done.returncode}\n"
    text = text.replace(str(house.root), "ROOT")
    for n, id_ in enumerate(ids(house)):
        text = text.replace(id_, f"ARCHIVE{n}")
    for pattern, word in ((r"\d{4}-\d\d-\d\d", "YYYY-MM-DD"), (r"\d\d:\d\d", "HH:MM")):
        text = re.sub(pattern, word, text)
    return re.sub(r"[\d.]+ KiB", lambda size: re.sub(r"\d", "9", size[0]), text)


@pytest.fixture
def house(tmp_path):
    """Three backups: a file that changes, one that goes, one that comes."""
    house = House(tmp_path, service="gitea")
    fill(house.source, {"app.ini": b"one", "logs/old.log": b"x" * 2000, "same": b"s"})
    (house.source / "link").symlink_to("same")
    later(house)
    fill(house.source, {"app.ini": b"two", "repos/new.git/HEAD": b"ref"})
    later(house)
    (house.source / "logs/old.log").unlink()
    fill(house.source, {"app.ini": b"three"})
    later(house)
    return house


@pytest.fixture
def reads(monkeypatch):
    """Reads from local destinations, in order: (name, offset, length)."""
    done, real = [], Local.read

    def read(store, service, name, offset, length, *more):
        done.append((name, offset, length))
        return real(store, service, name, offset, length, *more)

    monkeypatch.setattr(Local, "read", read)
    return done


def ids(house):
    return [file.stem[-8:] for file in house.archives]


def test_screens_equal_the_golden_file(house):
    """Each command, its errors and their statuses, as on a terminal of 80 columns."""
    first, second, _ = ids(house)
    said = [
        shown(house, "find", "*.log"),
        shown(house, "find", "app.ini", "gitea"),
        shown(house, "find", "repos/*"),
        shown(house, "find", "nothing"),
        shown(house, "find", "a", "gitae"),
        shown(house, "diff", "gitea", first, second),
        shown(house, "diff", "gitea", first),
        shown(house, "diff", "gitea", "latest"),
        shown(house, "diff", "gitea", "ffff"),
        shown(house, "cat", "gitea", "latest", "app.ini"),
        shown(house, "cat", "gitea", first, "/app.ini"),
        shown(house, "cat", "gitea", first, str(house.source / "app.ini")),
        shown(house, "cat", "gitea", "latest", "logs"),
        shown(house, "cat", "gitea", "latest", "link"),
        shown(house, "cat", "gitea", "latest", "logs/old.log"),
        shown(house, "usage"),
        shown(house, "usage", "gitea"),
    ]
    text = "".join(said)
    check_golden(GOLDEN, "looking inside", text)
    screens = [line for line in text.splitlines() if not line.startswith("packrat: ")]
    assert max(map(len, screens)) <= 80


def test_every_key_of_the_documents_is_documented(house):
    """docs/json.md has each key that the commands print, and no other."""
    first = ids(house)[0]
    text = (DOCS / "json.md").read_text()
    for words in (("find", "*"), ("diff", "gitea", first), ("usage",)):
        document = house.json(*words)
        [row] = re.findall(rf"^\| `{words[0]}` \| (?:array of )?`{{(.*)}}`", text, re.MULTILINE)
        keys = [*(document if isinstance(document, dict) else document[0])]
        for inner in ("changes", "backups"):
            if inner in keys:
                top = document if isinstance(document, dict) else document[0]
                listed = re.search(rf"{inner}: \[{{(.*?)}}…\]", row)
                assert listed[1].split(", ") == list(top[inner][0])
                row = row.replace(f"{inner}: [{{{listed[1]}}}…]", inner)
        assert row.split(", ") == keys


def test_find_tells_who_still_has_a_deleted_file(house):
    """The backup that it names restores the file."""
    [row] = house.json("find", "old.log")
    assert (row["present"], row["versions"], row["last_id"]) == (False, 1, ids(house)[1])
    out = house.root / "back"
    words = ("--backup", row["last_id"], "--path", row["path"], "--to", str(out), "--yes")
    assert house.cli("restore", "gitea", *words).returncode == 0
    assert (out / "logs/old.log").read_bytes() == b"x" * 2000


def test_find_counts_versions_and_sees_what_comes_back(tmp_path):
    """Seven backups in each of which the file has, or lacks, these bytes."""
    house = House(tmp_path)
    states = [None, b"1", b"1", b"2", None, b"2", b"1"]
    for state in states:
        (house.source / "f").unlink(missing_ok=True)
        fill(house.source, {"other": noise(9, len(ids(house)))})
        if state:
            fill(house.source, {"f": state})
        later(house)
    [row] = house.json("find", "f")
    assert (row["first_id"], row["last_id"]) == (ids(house)[1], ids(house)[6])
    assert (row["versions"], row["present"]) == (3, True)


@pytest.mark.thorough
def test_find_reads_each_index_block_once(tmp_path, reads):
    """A large index costs once, and each further backup fewer than five reads."""
    house = House(tmp_path)
    fill(house.source, {f"d{n % 40}/file-{n}": b"%d" % n for n in range(4000)})
    later(house)
    for n in range(9):
        fill(house.source, {f"d{n}/file-{n}": b"again", f"d{n}/new-{n}": b"new"})
        later(house)
    house.json("list")
    reads.clear()
    begun = time.process_time()
    assert len(house.json("find", "new-*")) == 9
    assert time.process_time() - begun < 5
    per_archive = [sum(name == file.name for name, *_ in reads) for file in house.archives]
    assert max(per_archive[1:]) < 5, per_archive
    inside = [one for one in reads if one[1]]  # both ends of a small archive are the whole of it
    assert len(inside) == len(set(inside))


@pytest.mark.thorough
def test_find_makes_fewer_than_five_requests_a_backup(tmp_path, s3, monkeypatch):
    house = House(tmp_path)
    document = yaml.safe_load(house.config_file.read_text())
    document["backup"]["destinations"] = {"s3": s3.destination()}
    house.config_file.write_text(yaml.safe_dump(document))
    for n in range(6):
        fill(house.source, {f"d{n}/file-{n}": b"1"})
        now = time.time_ns() - 10**13 + n * 10**10
        assert house.back_up(clock=Clock(now=lambda now=now: now)).status == "done"
    read, asked = S3.read, []
    monkeypatch.setattr(S3, "read", lambda *what: asked.append(what[2]) or read(*what))
    assert len(house.json("find", "file-*")) == 6
    assert 0 < len(asked) < 5 * 6


def test_a_backup_that_cannot_be_searched_hides_no_other(house):
    """Its index is gone: a warning names it, and the status is 5."""
    house.json("list")
    data = bytearray(house.archives[1].read_bytes())
    data[8200 if len(data) > 9000 else 300 : -200] = bytes(len(data[300:-200]))
    house.archives[1].write_bytes(data[: house.archives[1].stat().st_size])
    done = house.cli("find", "app.ini", "--json")
    assert done.returncode == 5
    assert f"backup {ids(house)[1]} was not searched" in done.stderr
    [row] = json.loads(done.stdout)
    assert row["first_id"] == ids(house)[0]


def test_diff_reads_only_what_differs(tmp_path, reads):
    """One of 6,000 files has changed: the blocks around it are read, not the index."""
    house = House(tmp_path)
    fill(house.source, {f"d{n % 40}/file-{n}": b"%d" % n for n in range(6000)})
    before = later(house)
    fill(house.source, {"d7/file-7": b"changed"})
    after_id = later(house)
    reads.clear()
    document = house.json("diff", "svc", before, after_id)
    changed = [row["path"] for row in document["changes"] if "content" in row["what"]]
    assert changed == ["d7/file-7"]
    assert document["changed"] == len(document["changes"])
    new = sum(length for name, _, length in reads if after_id in name)
    assert new < 40_000 + 2 * (64 << 10)
    reads.clear()
    assert house.json("diff", "svc", after_id, after_id)["changes"] == []
    assert len(reads) <= 4  # both ends, twice


def test_diff_agrees_with_the_restored_trees(tmp_path):
    """The reported additions, removals and changes are those that comparing the files finds."""
    house = House(tmp_path)
    fill(house.source, {f"d{n % 9}/{n}": noise(50, n) for n in range(600)})
    one = later(house)
    for n in range(0, 600, 7):
        (house.source / f"d{n % 9}/{n}").unlink()
    fill(house.source, {f"d{n % 9}/{n}": noise(50, n + 1) for n in range(0, 600, 11)})
    fill(house.source, {f"new/{n}": b"n" for n in range(90)})
    shutil.rmtree(house.source / "d5")
    two = later(house)
    trees = []
    for id_ in (one, two):
        out = house.restore(id_, id_)
        trees.append({str(p.relative_to(out)): p for p in out.rglob("*") if p.is_file()})
    old, new = trees
    rows = house.json("diff", "svc", one, two)["changes"]
    found = {kind: set() for kind in ("added", "removed", "content")}
    for row in rows:
        if row["type"] == "file":
            kind = "content" if "content" in row["what"] else row["change"]
            found.setdefault(kind, set()).add(row["path"])
    assert found["added"] == new.keys() - old.keys()
    assert found["removed"] == old.keys() - new.keys()
    both = old.keys() & new.keys()
    assert found["content"] == {p for p in both if old[p].read_bytes() != new[p].read_bytes()}


def test_a_renewed_file_has_not_changed(tmp_path):
    """A full backup stores everything again: other places, the same content."""
    house = House(tmp_path)
    fill(house.source, {"small": noise(5000), "large": noise(80 << 20)})
    one = later(house)
    two = later(house, full=True)
    assert house.json("diff", "svc", one, two)["changes"] == []
    assert [row["versions"] for row in house.json("find", "*a*")] == [1, 1]


def test_usage_adds_up(house):
    """Unique is what is freed if only one backup goes; the files are what is stored."""
    [row] = house.json("usage")
    sizes = {file.stem[-8:]: file.stat().st_size for file in house.archives}
    assert (row["stored"], row["added"]) == (sum(sizes.values()), sum(sizes.values()))
    first, _, last = row["backups"]
    assert [one["stored"] for one in row["backups"]] == [*sizes.values()]
    assert first["unique"] == 0
    assert last["unique"] == sizes[last["id"]]
    used = house.catalog().backups[-1].summary.archives
    assert last["shared"] == sum(sizes[other.id[:8]] for other in used) > 0


@pytest.mark.thorough
def test_cat_writes_a_large_file_unchanged(tmp_path):
    """More than one segment, more chunks than an entry holds, and a hole."""
    house = House(tmp_path)
    data = noise(70 << 20)
    with (house.source / "large").open("wb") as file:
        file.write(data)
        file.seek(9 << 20, os.SEEK_CUR)
        file.write(b"end")
    house.backed_up()
    target = house.root / "large"
    wrap = ("sh", "-c", f'"$@" > {target}', "-")
    done = house.cli("cat", "svc", "latest", "large", wrap=wrap)
    assert done.returncode == 0, done.stderr
    assert target.read_bytes() == data + bytes(9 << 20) + b"end"


def test_the_filesystem_equals_the_restored_tree(house):
    """Every path, with its type, mode, owner, time and bytes."""
    out = house.restore("out")
    os.chmod(house.source / "same", 0o600)
    files = PackratFileSystem(AllBackups(house.program))
    assert files.ls("", detail=False) == ["gitea"]
    newest = files.ls("packrat://gitea", detail=False)[-1]
    names = set()
    for folder, folders, others in files.walk(newest):
        for name in (*folders, *others):
            path = f"{folder}/{name}"
            inside = path.removeprefix(newest + "/")
            names.add(inside)
            info, real = files.info(path), os.lstat(out / inside)
            assert info["mode"] == real.st_mode, path
            assert (info["uid"], info["gid"]) == (real.st_uid, real.st_gid)
            assert info["mtime_ns"] == real.st_mtime_ns
            if info["type"] == "file":
                assert files.cat_file(path) == (out / inside).read_bytes()
                assert files.cat_file(path, 1, 3) == (out / inside).read_bytes()[1:3]
    assert names == {str(path.relative_to(out)) for path in out.rglob("*")}
    assert files.info(f"{newest}/link")["destination"] == "same"
    for absent in ("nope", "gitea/nope", f"{newest}/nope", f"{newest}/app.ini/x"):
        with pytest.raises(FileNotFoundError):
            files.info(absent)
    real = (out / "app.ini").read_bytes()
    with files.open(f"{newest}/app.ini") as file:
        file.seek(-3, os.SEEK_END)
        assert (file.read(2), file.read(), file.read()) == (real[-3:-1], real[-1:], b"")
    with files.open(f"{newest}/app.ini", "r") as lines:
        assert [*lines] == real.decode().splitlines(keepends=True)
    with pytest.raises(OSError, match="Read-only"):
        files.open(f"{newest}/app.ini", "wb")


def test_backups_of_the_repeated_hour_have_different_names(house, monkeypatch):
    """When the clocks go back, 02:30 comes twice."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    try:
        [summary, *_] = [one.summary for one in house.catalog().backups]
        from msgspec.structs import replace

        times = ["20261025T003000Z", "20261025T013000Z", "20261025T013000Z", "20261025T120000Z"]
        made = [
            replace(summary, time=stamp, barrier=0, id=f"{n}" * 32) for n, stamp in enumerate(times)
        ]
        assert [*folder_names(made)] == [
            "2026-10-25T02-30-00+0200",
            "2026-10-25T02-30-00+0100",
            "2026-10-25T02-30-00+0100-22222222",
            "2026-10-25T13-00-00",
        ]
    finally:
        monkeypatch.delenv("TZ")
        time.tzset()
