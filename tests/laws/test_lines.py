"""Lines: every backup continues its service's line, and carries what is said about it."""

import os
import shutil

import pytest

from tests.helpers.house import House, cheap_keys
from tests.helpers.trees import fill
from tests.tiny_writer import Draft
from vault.archive.statement import Statement, seal_statement
from vault.catalog.statements import publish_statement

LONG_AGO = "20260102T030405Z"


@pytest.fixture
def house(tmp_path):
    """House with two destinations and one backup."""
    house = House(tmp_path, ("one", "two"))
    fill(house.source, {"file": b"content"})
    house.backed_up()
    return house


def newest(house, destination="one"):
    return house.catalog(destination).backups[-1].summary


def say(house, says, archive, time, *, line=None, destination="one", text=""):
    """Publish a statement at one destination; return the name of its file."""
    said = Statement(
        id=os.urandom(16).hex(),
        service="svc",
        host="here",
        line=line or newest(house).line,
        time=time,
        says=says,
        archives=[archive],
        text=text,
    )
    program = house.program
    data = seal_statement(said, program.keys)
    store = program.destination(destination)
    publish_statement(store, "svc", said.name, data, program.keys)
    return said.name


def statements(house, destination):
    return {path.name: path for path in (house.stores[destination] / "svc").glob("*.statement")}


def test_every_backup_continues_the_line(house):
    """Also a full one, and one after its parent was damaged."""
    first = newest(house)
    assert (first.parent, first.sequence) == (None, 1)
    last = first
    for full in (False, True):
        house.backed_up(full=full)
        one = newest(house)
        assert (one.line, one.sequence) == (first.line, last.sequence + 1)
        assert (one.parent.id, one.parent.name[-16:-8]) == (last.id, last.id[:8])
        last = one
    assert [(root.label, root.kind) for root in last.roots] == [("", "folder")]
    assert last.roots[0].source == str(house.source)


def test_a_machine_that_takes_over_continues_the_line(house, tmp_path):
    """The line outlives the name of the host; another service begins its own."""
    new = House(tmp_path / "new", ("one",), host="new")
    shutil.copytree(house.stores["one"], new.stores["one"])
    fill(new.source, {"file": b"content"})
    assert new.cli("backup", "svc", "--take-over").returncode == 0
    assert (newest(new).line, newest(new).sequence) == (newest(house).line, 2)
    other = House(tmp_path / "other", ("one",))
    fill(other.source, {"file": b"content"})
    other.backed_up()
    assert newest(other).line != newest(house).line


def test_a_statement_reaches_every_destination_and_manifest(house):
    """With the next backup; those about another line stay where they are."""
    first = newest(house).id
    pin = say(house, "pin", first, LONG_AGO, text="before the upgrade")
    other = say(house, "pin", first, LONG_AGO, line="12" * 16)
    house.backed_up()
    assert set(statements(house, "one")) == {pin, other}
    assert set(statements(house, "two")) == {pin}
    [pinned] = newest(house, "two").pins
    assert (pinned.archive, pinned.time, pinned.text) == (first, LONG_AGO, "before the upgrade")


def test_a_statement_ends_by_a_later_one_only(house):
    """The loss of its file ends nothing, and neither does an earlier `unpin`."""
    first = newest(house).id
    pin = say(house, "pin", first, LONG_AGO)
    say(house, "unpin", first, "20260101T000000Z")
    house.backed_up()
    for name in ("one", "two"):
        statements(house, name)[pin].unlink()
    house.forget()
    house.backed_up()
    assert [pin.archive for pin in newest(house).pins] == [first]
    say(house, "unpin", first, "20260201T000000Z", destination="two")
    house.backed_up()
    assert newest(house).pins == []
    say(house, "pin", first, "20260301T000000Z")
    house.backed_up()
    assert [pin.time for pin in newest(house).pins] == ["20260301T000000Z"]


def test_what_is_gone_is_told_while_an_archive_names_it(house):
    """Acceptances stay; a deleted archive that nothing names is of no interest."""
    first = newest(house).id
    house.backed_up()  # names the first as its parent
    say(house, "forgotten", first, LONG_AGO)
    say(house, "pruned", "ab" * 16, LONG_AGO)
    say(house, "accepted", "ab" * 16, LONG_AGO)
    house.backed_up()
    assert [(one.archive, one.how) for one in newest(house).gone] == [(first, "forgotten")]
    assert [one.archive for one in newest(house).accepted] == ["ab" * 16]


def test_a_damaged_statement_is_reported_and_replaced(house):
    """Verify names it; the next backup brings the good one."""
    pin = say(house, "pin", newest(house).id, LONG_AGO)
    house.backed_up()
    damaged = statements(house, "two")[pin]
    good = damaged.read_bytes()
    damaged.write_bytes(good[:-1] + bytes([good[-1] ^ 1]))
    rows = house.json("verify", status=4)
    wrong = [row for row in rows if row["status"] != "ok"]
    assert [(row["status"], row["destination"]) for row in wrong] == [("damaged", "two")]
    assert pin in wrong[0]["problems"][0]
    house.backed_up()
    assert damaged.read_bytes() == good
    assert {row["status"] for row in house.json("verify")} == {"ok"}


def test_retention_deletes_no_statement(tmp_path):
    """Not even when the archive that it is about expires."""
    house = House(tmp_path, ("one",), keep=1)
    fill(house.source, {"file": b"content"})
    first = house.backed_up()
    name = say(house, "unpin", newest(house).id, LONG_AGO)
    for _ in range(3):
        house.back_up(full=True)
    assert not first.exists()
    assert name in statements(house, "one")


def test_a_lost_statement_pauses_pruning(house):
    """As the loss of an archive does: what no longer lists one file may lack more."""
    name = say(house, "pin", newest(house).id, LONG_AGO)
    house.backed_up()
    statements(house, "one")[name].unlink()
    assert f"it no longer lists {name}" in house.cli("prune").stderr


def several_roots(house):
    """Add an archive with a root of each kind."""
    draft = Draft(cheap_keys().master)
    texts = (b"in a folder", b"in a volume", b"CREATE TABLE", b"\0" * 5000, b'{"image": "x"}')
    chunks = draft.store(b"d", *texts)

    def entry(path, number, **more):
        own = {"mode": 0o600, "size": len(texts[number]), "chunks": [chunks[number]]}
        return {"path": path} | own | more

    folders = [{"path": name, "type": "dir", "mode": 0o755} for name in ("", "data", "v", "dumps")]
    draft.index(
        [
            *folders,
            entry("data/file", 0, mode=0o640),
            entry("v/file", 1),
            entry("db.sql", 2, type="stream"),
            entry("dumps/one", 3, type="stream"),
            {"path": "dumps/empty", "type": "stream", "mode": 0o600},
            entry("service", 4, type="stream"),
        ]
    )
    kinds = {"data": "folder", "v": "volume", "db.sql": "dump", "dumps": "dump"}
    kinds["service"] = "definition"
    draft.manifest["roots"] = [{"label": k, "kind": v, "source": k} for k, v in kinds.items()]
    draft.manifest["normal"] = [0, 0]
    draft.save(house.store)
    return dict(
        zip(("data/file", "v/file", "db.sql", "dumps/one", "service"), texts, strict=True)
    ) | {"dumps/empty": b""}


def test_several_roots_are_restored_side_by_side(tmp_path):
    """Streams become files; a single root can be selected; nothing of it is done in place."""
    house = House(tmp_path)
    contents = several_roots(house)
    out = house.restore()
    found = {str(p.relative_to(out)): p.read_bytes() for p in out.rglob("*") if p.is_file()}
    assert found == contents
    assert (out / "db.sql").stat().st_mode & 0o777 == 0o600
    assert [p.name for p in house.restore("some", "latest", "v").rglob("*")] == ["v", "file"]
    assert {verdict.status for verdict in house.verify()} == {"ok"}
    done = house.cli("restore", "svc", "--in-place", "--yes")
    assert done.returncode == 4
    assert "which has no place in the service" in done.stderr
    assert list(house.source.iterdir()) == []
