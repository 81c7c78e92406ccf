"""Every archive has a reason, and `list`, `prune` and `plan` say the same."""

import shutil

import pytest
import yaml

from engine.run import Clock
from tests.helpers.house import House
from tests.helpers.trees import differences, fill, noise

START = 1_767_225_600  # 2026-01-01T00:00:00Z


@pytest.fixture
def grown(tmp_path):
    """Eight backups of a folder that gets one file each time, of which three are retained."""
    house = House(tmp_path, keep=3)
    for day in range(8):
        fill(house.source, {f"f{day}": noise(20_000, day)})
        house.backed_up()
    return house


@pytest.fixture
def churned(tmp_path):
    """The same with a dump that is overwritten: older archives lose what they refer to."""
    house = House(tmp_path, keep=3)
    for day in range(8):
        fill(house.source, {f"f{day}": noise(60_000, day), "db.dump": noise(90_000, 100 + day)})
        house.backed_up()
    catalog = house.catalog()
    assert len(catalog.backups) < len(catalog.listed)
    return house


def reasons(rows, at="local"):
    return [row["reasons"][at] for row in rows]


def test_only_retained_backups_are_listed(grown):
    """The others are explained; all verify, and each that is listed restores."""
    rows = grown.json("list")
    assert reasons(rows) == ["retained by last 3"] * 3
    every = grown.json("list", "--all")
    assert [row["id"] for row in every[-3:]] == [row["id"] for row in rows]
    assert {why.partition(" by ")[0] for why in reasons(every[:-3])} == {"needed"}
    assert {row["status"] for row in grown.json("verify", "--deep")} == {"ok"}
    for row, day in zip(rows, (5, 6, 7), strict=True):
        out, want = grown.root / f"out{day}", grown.root / f"want{day}"
        fill(want, {f"f{n}": noise(20_000, n) for n in range(day + 1)})
        words = ("restore", "svc", "--backup", row["id"], "--to", str(out), "--yes")
        assert grown.cli(*words).returncode == 0
        assert [f for f in differences(want, out) if "bytes" in f or "missing" in f] == []


@pytest.mark.parametrize("knows", [True, False])
def test_bases_left_by_retention_never_raise_an_alarm(churned, knows):
    """At each depth, in each command, and also on a machine without the cache."""
    if not knows:
        churned.forget()
    for words in (["verify"], ["verify", "--deep"], ["verify", "--due"]):
        rows = churned.json(*words)
        assert {row["status"] for row in rows} == {"ok"}
    every = churned.json("list", "--all")
    bases = [row for row in every if not row["backup"]]
    assert bases
    assert {row["id"] for row in churned.json("verify") if row["base"]} >= {b["id"] for b in bases}


def test_a_listed_backup_that_lost_its_base_by_hand_is_an_alarm(grown):
    """Its base was deleted by somebody else: it is missing, and says so."""
    grown.archives[0].unlink()
    rows = grown.json("verify", status=4)
    assert {row["id"] for row in rows if row["status"] == "missing"} >= {
        row.name[-16:-8] for row in grown.archives[-3:]
    }
    assert grown.json("list", status=5) == []
    assert "no backups that can be restored" in grown.cli("list").stdout
    assert "incomplete: a base is missing" in reasons(grown.json("list", "--all", status=5))


def test_prune_and_its_plan_say_the_same(grown):
    """With fewer to retain: what goes, and why the rest stays."""
    document = yaml.safe_load(grown.config_file.read_text())
    document["backup"]["retain_backups"] = 1
    grown.config_file.write_text(yaml.safe_dump(document))
    words = grown.cli("prune", "--dry-run").stdout
    assert "svc at local keeps 8 archives" in words
    assert "1 retained" in words
    assert "7 needed" in words
    assert "7 needed, 1 retained" in grown.cli("plan", "prune").stdout
    assert "7 needed, 1 retained" in grown.cli("list", "--all").stdout


def at_day(house, day, **files):
    fill(house.source, {name: noise(20_000, seed) for name, seed in files.items()})
    return house.back_up(clock=Clock(now=lambda: (START + day * 86_400) * 10**9))


def test_each_destination_has_rules_of_its_own(tmp_path):
    """Short at one, long at the other; each is caught up by its own rules."""
    house = House(tmp_path, ("nas", "s3"), timezone="UTC")
    document = yaml.safe_load(house.config_file.read_text())
    places = document["backup"]["destinations"]
    places["nas"]["retain"] = {"last": 2}
    places["s3"]["retain"] = {"monthly": 3}
    house.config_file.write_text(yaml.safe_dump(document))
    for day in range(0, 100, 10):  # 1 January to 1 April
        assert at_day(house, day, f=day).status == "done"
    assert [item.summary.time[:8] for item in house.catalog("nas").backups] == [
        "20260322",
        "20260401",
    ]
    assert [item.summary.time[:8] for item in house.catalog("s3").backups] == [
        "20260220",
        "20260322",
        "20260401",
    ]
    rows = house.json("list")
    assert [row["reasons"] for row in rows] == [
        {"s3": "retained by monthly"},
        {"nas": "retained by last 2", "s3": "retained by monthly"},
        {"nas": "retained by last 2", "s3": "retained by monthly"},
    ]
    places["new"] = {"type": "local", "path": str(tmp_path / "new"), "retain": {"monthly": 3}}
    house.config_file.write_text(yaml.safe_dump(document))
    assert at_day(house, 100, f=100).status == "done"
    times = [item.summary.time[:8] for item in house.catalog("new").backups]
    assert times == ["20260220", "20260322", "20260411"]
    assert times == [item.summary.time[:8] for item in house.catalog("s3").backups]


def test_a_plan_names_what_the_next_backup_stores_again(tmp_path):
    """Most of the old archive was overwritten, and no retained backup needs it for long."""
    house = House(tmp_path, keep=1)
    at_day(house, 0, a=1, b=2, c=3)
    at_day(house, 5, a=4, b=5)
    assert "stores again 19.5 KiB of 1 expired archive" in house.cli("plan").stdout
    assert "being renewed; needed by" in house.cli("list", "--all").stdout
    at_day(house, 10)
    assert "being renewed" not in house.cli("list", "--all").stdout
    assert len(house.archives) == 2


def test_a_pin_outlives_the_rules_the_machine_and_the_statement(tmp_path):
    """It is kept with what it needs until it is unpinned; every manifest repeats it."""
    house = House(tmp_path, ("one", "two"), keep=1)
    for day in range(2):
        at_day(house, day, f=day)
    pinned = house.json("list")[0]["id"]
    shutil.move(house.stores["two"], tmp_path / "away")
    house.stores["two"].write_text("not a folder")
    row = house.json("pin", "svc", pinned, "before the upgrade", status=5)
    assert row["destinations"] == ["one"]
    house.stores["two"].unlink()
    shutil.move(tmp_path / "away", house.stores["two"])
    for day in range(2, 5):
        assert at_day(house, day, f=day).status == "done"
    house.forget()
    for file in house.root.rglob("*.statement"):
        file.unlink()
    rows = house.json("list")
    assert rows[0]["reasons"] == dict.fromkeys(("one", "two"), "pinned: before the upgrade")
    assert [row["id"] for row in rows].count(pinned) == 1
    assert len(rows) == 2
    out = house.restore("out", pinned)
    assert (out / "f").read_bytes() == noise(20_000, 1)
    house.json("unpin", "svc", pinned)
    assert at_day(house, 5, f=5).status == "done"
    assert pinned not in [row["id"] for row in house.json("list", "--all")]


def test_only_a_backup_can_be_pinned_and_only_a_pin_can_be_ended(churned):
    newest = churned.json("list")[-1]["id"]
    done = churned.cli("unpin", "svc", newest)
    assert (done.returncode, "is not pinned" in done.stderr) == (4, True)
    base = next(row["id"] for row in churned.json("list", "--all") if not row["backup"])
    done = churned.cli("pin", "svc", base, "text")
    assert (done.returncode, "cannot be restored by itself" in done.stderr) == (4, True)
    done = churned.cli("pin", "svc", newest, "x" * 5000)
    assert (done.returncode, "too long" in done.stderr) == (2, True)
