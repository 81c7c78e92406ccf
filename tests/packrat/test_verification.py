"""Scheduled verification: every archive is proven in time, and damage is repaired or avoided."""

import time
from contextlib import closing

import pytest

from engine.run import Clock
from packrat.runs.history import History
from packrat.runs.verify_due import NAME
from tests.helpers import daemons
from tests.helpers.house import House
from tests.helpers.trees import differences, fill, noise


def damage(archive):
    """Flip one bit in the middle, which only a full read finds."""
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    return bytes(data)


def due(house, status=0):
    return house.json("verify", "--due", status=status)


def settle(house, **verify):
    text = house.config_file.read_text()
    house.config_file.write_text(text + f"verify: {{deep_percent: {verify['deep_percent']}}}\n")


def test_all_is_proven_within_its_stated_time(house):
    """With a share of a fifth, each archive is proven within five runs, the oldest proof first."""
    for number in range(5):
        fill(house.source, {f"f{number}": noise(200_000, number)})
        clock = Clock(now=lambda number=number: (1_577_880_000 + 86_400 * number) * 10**9)
        assert house.back_up(clock=clock).status == "done"
    settle(house, deep_percent=20)
    seen = []
    while len(seen) < 5:
        rows = due(house)
        assert rows
        seen += [row["id"] for row in rows]
    ids = [a.name.rpartition("-")[2][:8] for a in house.archives]
    assert seen == (ids + ids)[: len(seen)], "and then from the beginning again"
    [row] = house.json("status")
    assert row["verified"]


def test_damage_at_one_destination_is_repaired_from_another(tmp_path):
    """A flipped bit is found, reported and replaced by the good bytes."""
    house = House(tmp_path, ("one", "two"), verify={"deep_percent": 100})
    fill(house.source, {"a": noise(3 << 20, 1)})
    house.backed_up()
    [good], [archive] = ((house.stores[n] / "svc").glob("*.packrat") for n in ("two", "one"))
    damage(archive)
    rows = {row["destination"]: row for row in due(house, status=5)}
    assert rows["two"]["status"] == "ok"
    assert rows["one"]["status"] == "mended"
    assert rows["one"]["problems"][-1] == "repaired from two"
    assert archive.read_bytes() == good.read_bytes()
    assert house.litter() == []
    assert all(row["status"] == "ok" for row in due(house))
    with closing(History(str(house.state))) as history:
        now, before = [past for past in history.runs() if past.job == "verify"]
        assert (now.status, before.status) == ("done", "partial")
        assert "repaired from two" in before.document["error"]


def test_data_that_is_damaged_everywhere_is_stored_again(tmp_path):
    """If no destination has a good replica, the next backup stores the data again."""
    house = House(tmp_path, ("one", "two"), verify={"deep_percent": 100})
    fill(house.source, {"a": noise(3 << 20, 1)})
    house.backed_up()
    broken = [damage(next((store / "svc").glob("*.packrat"))) for store in house.stores.values()]
    rows = due(house, status=4)
    assert [row["status"] for row in rows] == ["damaged", "damaged"]
    assert "The next backup stores its data again" in rows[0]["problems"][-1]
    assert house.json("list") == []
    assert house.json("status", status=5)[0]["destinations"]["one"]["damaged"] == 1
    result = house.back_up()
    assert result.status == "done"
    assert result.read == 3 << 20, "read again"
    assert result.kind == "full"
    assert any(
        "this backup stores again what it would have taken from it" in w for w in result.warnings
    )
    assert house.archives[0].read_bytes() == broken[0], "only retention may delete it"
    assert (house.restore() / "a").read_bytes() == noise(3 << 20, 1)
    assert [row["id"] for row in house.json("list")] == [result.id]


@pytest.mark.thorough
def test_damage_on_servers_is_found_by_the_daemon(tmp_path, s3, nas):
    """The NAS is repaired from S3; if both are damaged, the next backup stores the data again.

    The bytes change on the servers' disks, and the daemon finds them on its schedule.
    """
    places = {"s3": s3.destination(), "nas": nas.destination("./backups")}
    house = House(tmp_path, backup={"retain_backups": 9, "destinations": places})
    fill(house.source, {"a": noise(3 << 20, 1)})
    assert house.back_up().status == "done"
    [in_bucket], [on_nas] = s3.files(), (nas.folder / "login").rglob("*.packrat")
    good = on_nas.read_bytes()

    damage(on_nas)
    assert verified_by_daemon(house, minutes_ago=20) == ("partial", "repaired from s3")
    assert on_nas.read_bytes() == in_bucket.read_bytes() == good
    assert {len(house.catalog(name).backups) for name in places} == {1}

    damage(on_nas)
    damage(in_bucket)
    s3.restart()
    status, said = verified_by_daemon(house, minutes_ago=2)
    assert (status, "The next backup stores its data" in said) == ("failed", True), said
    result = house.back_up()
    assert (result.status, result.kind, result.read) == ("done", "full", 3 << 20)
    assert any(
        "this backup stores again what it would have taken from it" in w for w in result.warnings
    )
    assert {len(house.catalog(name).backups) for name in places} == {1}
    assert differences(house.source, house.restore()) == []


def verified_by_daemon(house, minutes_ago):
    """Let a daemon run a missed verification; return its status and last message."""
    text = f"{time.gmtime(time.time() - 60 * minutes_ago).tm_min} * * * *"
    daemons.settle(house, verify={"schedule": text, "deep_percent": 100})
    with closing(History(str(house.state))) as history:
        history.set_mark(NAME, text, time.time() - 5 * daemons.HOUR)
        with daemons.Running(house) as daemon:
            before = daemon.said.count("archives good")
            daemon.until(lambda: daemon.said.count("archives good") > before, 60)
            said = daemon.said.splitlines()[-1]
        past = history.runs(NAME)[0]
    assert past.by == "daemon"
    what = past.document["error"].split("; ")[-1]
    assert what in said
    return past.status, what


def test_the_next_run_repairs_damage_by_its_catch_up(tmp_path):
    """For damage that could not be repaired at once."""
    house = House(tmp_path, ("one", "two"), verify={"deep_percent": 100})
    fill(house.source, {"a": noise(3 << 20, 1)})
    archive = house.backed_up()
    damage(archive)
    program = house.program
    catalog = house.catalog("one")
    program.cache.prove(catalog.destination, "svc", catalog.listed[0].stored, 1.0, "damaged")
    assert house.catalog("one").backups == []
    assert house.back_up().status == "done"
    assert len(house.catalog("one").backups) == 2
    assert all(verdict.status == "ok" for verdict in house.verify())


def test_a_deep_verification_by_hand_counts(house):
    """`verify --deep` counts as a proof; damage that it finds is recorded until it is repaired."""
    fill(house.source, {"a": noise(1 << 20, 1)})
    archive = house.backed_up()
    good = archive.read_bytes()
    damage(archive)
    assert house.json("verify", "--deep", status=4)[0]["status"] == "damaged"
    assert house.json("list") == []
    archive.write_bytes(good)
    assert house.json("verify", "--deep")[0]["status"] == "ok"
    assert len(house.json("list")) == 1


def test_statements_are_not_counted_as_archives(tmp_path):
    """A damaged one has advice of its own, and the next backup replaces it by a good replica."""
    house = House(tmp_path, ("one", "two"))
    fill(house.source, {"a": b"1"})
    house.backed_up()
    pin = house.catalog().backups[-1].summary.id[:8]
    assert house.cli("pin", "svc", pin, "why").returncode == 0
    assert "2 of 2 archives and 2 of 2 statements good" in house.cli("verify").stdout
    [statement] = house.store.glob("*.statement")
    statement.write_bytes(statement.read_bytes()[:-1] + b"x")
    said = house.cli("verify")
    assert said.returncode == 4
    short = statement.stem[-8:]
    assert f"svc statement {short} at one: damaged" in said.stdout
    assert "2 of 2 archives and 1 of 2 statements good" in said.stdout
    assert f"svc statement {short}: it is good at two, and the next backup copies it" in said.stdout
    house.backed_up()
    assert house.cli("verify").returncode == 0


def test_a_document_of_a_verification_may_name_its_stages_freely(house, tmp_path):
    house.backed_up()
    document = house.cli("plan", "verify", "--format", "yaml").stdout
    assert "verify:local" in document
    file = tmp_path / "verify.yaml"
    file.write_text(document.replace("verify:local", "look"))
    done = house.cli("run", file)
    assert done.returncode == 0, done.stderr
