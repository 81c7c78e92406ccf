"""Substitution: another host's backup is never taken for this host's own."""

import json
import shutil
import time

import pytest

from engine.run import Clock
from tests.helpers.house import House
from tests.helpers.trees import fill, noise


@pytest.fixture
def planted(tmp_path):
    """House with two destinations, one of which has another host's newest archive."""
    house = House(tmp_path / "here", ("good", "evil"), keep=2)
    other = House(tmp_path / "other", host="other")
    fill(house.source, {"a": b"our own"})
    fill(other.source, {"a": b"somebody else's"})
    for one, ago in ((house, 3600), (other, 1800)):
        then = time.time_ns() - ago * 10**9
        assert one.back_up(clock=Clock(now=lambda then=then: then)).status == "done"
    shutil.copy(other.archives[0], house.stores["evil"] / "svc")
    return house, other.archives[0].name


def test_latest_is_never_another_hosts(planted):
    """The message names it, so it can be requested by its id, and then it is restored."""
    house, name = planted
    out = house.root / "out"
    done = house.cli("restore", "svc", "--to", str(out), "--yes")
    assert done.returncode == 0, done.stderr
    assert (out / "a").read_bytes() == b"our own"
    assert f"{name} is newer, but of host other" in done.stderr
    id_ = name.rpartition("-")[2][:8]
    named = house.cli("restore", "svc", "--backup", id_, "--to", str(house.root / "o2"), "--yes")
    assert "the backup is of host other" in named.stdout
    assert {row["status"] for row in house.json("verify", "--backup", "latest")} == {"ok"}


def test_it_is_the_problem_of_that_destination_only(planted):
    """The other gets its backup, which builds on our own; once ours is newer, both do."""
    house, name = planted
    fill(house.source, {"b": noise(9000)})
    result = house.back_up()
    assert result.status == "partial", result
    assert result.kind == "incremental"
    assert {at: one["status"] for at, one in result.destinations.items()} == {
        "good": "done",
        "evil": "failed",
    }
    assert f"{name}, is of host 'other'" in result.destinations["evil"]["error"]
    assert len(list((house.stores["good"] / "svc").glob("*.packrat"))) == 2
    fill(house.source, {"c": noise(9000, 3)})
    assert house.back_up().status == "done"
    assert name not in [path.name for path in (house.stores["good"] / "svc").iterdir()]


def test_planted_backups_push_none_of_our_own_out(planted):
    """Retention counts our own; those of other hosts are left alone."""
    house, _ = planted
    before = {path.name for path in (house.stores["evil"] / "svc").iterdir()}
    assert house.json("prune", status=5) == [], "nothing at all goes there meanwhile"
    assert {path.name for path in (house.stores["evil"] / "svc").iterdir()} == before


def test_a_bare_machine_takes_it_and_says_whose_it_is(tmp_path):
    """If this host has none, another host's is restored: the machine may have a new name."""
    old = House(tmp_path / "old", host="old")
    fill(old.source, {"a": b"content"})
    old.backed_up()
    new = House(tmp_path / "new")
    shutil.copytree(old.stores["local"], new.stores["local"])
    done = new.cli("restore", "svc", "--to", str(tmp_path / "out"), "--yes")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "a").read_bytes() == b"content"
    assert "this host, here, has no backup of svc: these are of host old" in done.stderr
    assert "the backup is of host old" in done.stdout
    rows = new.cli("restore", "svc", "--to", str(tmp_path / "o2"), "--yes", "--json")
    assert json.loads(rows.stdout)["host"] == "old"
    assert new.back_up().exit == 4, "without --take-over nothing is mixed"
