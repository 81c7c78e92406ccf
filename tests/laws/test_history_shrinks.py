"""History does not shrink silently: what vanishes from a destination is told until accepted."""

import json
import os
import re
import shutil
import signal
import time
from pathlib import Path

import pytest
import yaml

from engine.run import Clock
from packrat.runs.backup import back_up
from tests.helpers.daemons import Running, schedule
from tests.helpers.forked import ended, forked
from tests.helpers.house import House
from tests.helpers.terminal import status, terminal
from tests.helpers.transcript import check_golden, seen
from tests.helpers.trees import fill, noise
from vault.catalog.watch import look_back
from vault.store.local import Local

GOLDEN = Path(__file__).parent / "golden" / "history.txt"
DAY = 86_400
START = int(time.time()) // DAY * DAY - 60 * DAY
ACCEPT = ("check", "--connect", "--accept", "svc", "--yes")


def at_day(house, day, *, full=False):
    """Make a backup on a day, of a file more and a file that changes."""
    fill(house.source, {f"f{day}": noise(9000, day), "log": noise(3000, 100 + day)})
    return house.back_up(full=full, clock=Clock(now=lambda: (START + day * DAY) * 10**9))


def grown(house, *days, full=False):
    for day in days:
        result = at_day(house, day, full=full)
        assert (result.status, result.alarms) == ("done", [])


def alarms(house):
    """Return the kinds of alarms of the last look, with the numbers of missing archives."""
    [row] = json.loads(house.cli("status", "--json").stdout)
    return [(one["destination"], one["kind"], len(one["missing"])) for one in row["alarms"]]


def ids(paths):
    return [path.name[-16:-8] for path in paths]


def newest_two_removed(house):
    for path in house.archives[-2:]:
        path.unlink()


def the_base_of_the_newest_removed(house):
    house.archives[0].unlink()


def replaced_by_last_months_copy(house):
    """The copy was made after the third of six backups."""
    shutil.rmtree(house.store)
    (house.root / "ignored-copy").rename(house.store)


SCENES = (newest_two_removed, the_base_of_the_newest_removed, replaced_by_last_months_copy)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_every_command_says_so_until_it_is_accepted(tmp_path, scene):
    """With the service, the destination, the time and the next step."""
    house = House(tmp_path, keep=4)
    grown(house, 0, 1, 2)
    shutil.copytree(house.store, tmp_path / "ignored-copy")
    grown(house, 31, 32, 33)
    said = [seen(house, "status")]
    scene(house)
    out = str(tmp_path / "out")
    commands = (
        "list",
        "status",
        "status svc",
        "verify svc",
        "prune",
        f"restore svc --to {out} --yes",
        "check --connect --accept svc",
        "backup svc",
        "status",
    )
    said += [seen(house, *words.split()) for words in commands]
    assert house.cli("restore", "svc", "--to", out, "--yes", "--accept-older").returncode == 0
    said.append(seen(house, *ACCEPT))
    for command in ("list", "verify", "backup svc", "prune", "status"):
        done = house.cli(*command.split())
        assert done.returncode == 0, done
        assert "packrat did not delete" not in done.stdout + done.stderr
    said.append(seen(house, *ACCEPT))
    text = re.sub(r"(local|newest|TIME,) \d+ \w+\b", r"\1 AGE", "\n".join(said))
    text = re.sub(r"ARCHIVE at local: (\w+), \d.* read", r"ARCHIVE at local: \1, N read", text)
    check_golden(GOLDEN, scene.__name__.replace("_", " "), re.sub(r" *\d+\.\d [KM]iB", " N", text))


def test_machines_read_it_too(tmp_path):
    """In the documents of list, status, verify, backup and history."""
    house = House(tmp_path, ("one", "two"))
    grown(house, 0, 1)
    [gone] = house.archives[-1:]
    gone.unlink()
    [old, new] = house.json("list", status=5)
    assert (old["missing"], new["missing"]) == ([], ["one"])
    assert (new["id"], new["destinations"]) == (gone.name[-16:-8], ["two"])
    [row] = house.json("status", status=5)
    [alarm] = row["alarms"]
    assert (alarm["destination"], alarm["kind"]) == ("one", "older")
    assert [one["id"] for one in alarm["missing"]] == ids([gone])
    assert alarm["newest"]["id"] == old["id"]
    rows = house.json("verify", status=4)
    [bad] = [row for row in rows if row["status"] != "ok"]
    assert (bad["status"], bad["id"], bad["destination"]) == ("missing", *ids([gone]), "one")
    assert bad["vanished"]
    [run] = house.json("backup", "svc", status=5)
    assert run["status"] == "done", "the backup itself is complete"
    assert len(run["alarms"]) == 1
    assert house.json("history")[0]["alarms"] == run["alarms"]


def test_what_catch_up_brings_back_is_told_once(tmp_path):
    """The other destination has it, and keeps it by its rules."""
    house = House(tmp_path, ("one", "two"))
    grown(house, 0, 1, 2)
    house.archives[1].unlink()
    assert len(at_day(house, 3).alarms) == 1
    assert alarms(house) == []
    assert len(house.archives) == 4
    assert at_day(house, 4).alarms == []


def test_what_is_brought_back_and_expires_in_the_same_run_is_told(tmp_path):
    """An old archive that only the backup before needs, and the new one no longer does."""
    house = House(tmp_path, ("one", "two"), keep=1)
    grown(house, 0, 1)
    old = house.archives[0]
    assert len(house.archives) == 2
    old.unlink()
    result = at_day(house, 2, full=True)
    assert result.destinations["one"]["caught_up"]["archives"] == 1
    assert old.name not in [path.name for path in house.archives]
    assert len(result.alarms) == 1
    assert alarms(house) == []


def test_latest_from_the_other_destination_is_not_an_older_one(tmp_path):
    """Only a restore that would come from an older backup needs consent."""
    house = House(tmp_path, ("one", "two"))
    grown(house, 0, 1)
    house.archives[-1].unlink()
    done = house.cli("restore", "svc", "--to", str(tmp_path / "out"), "--yes")
    assert done.returncode == 0
    assert "svc at one: the newest backup is of" in done.stderr
    words = ("restore", "svc", "--from", "one", "--to", str(tmp_path / "out2"), "--yes")
    assert house.cli(*words).returncode == 4
    assert house.cli(*words, "--backup", *ids(house.archives)).returncode == 0


def test_restoring_an_older_backup_asks_on_a_terminal(tmp_path):
    """Nothing is written before the answer."""
    house = House(tmp_path)
    grown(house, 0, 1)
    house.archives[-1].unlink()
    words = ("restore", "svc", "--backup", "latest", "--path", "f0", "--to", str(tmp_path / "out"))
    for answer, code in (("n", 130), ("y", 0)):
        child = terminal(house, *words)
        child.expect("Restore\\?")
        child.send("\r")
        child.expect(re.escape("Restore the older backup, of "))
        assert not (tmp_path / "out").exists()
        child.sendline(answer)
        assert status(child) == code
    assert (tmp_path / "out" / "f0").exists()


def test_retention_never_raises_an_alarm(tmp_path):
    """Nor does a prune that dies after a deletion, nor rules that are raised afterwards."""
    house = House(tmp_path, keep=2)
    grown(house, 0, 1, 2, 3, full=True)

    def die_after_a_deletion():
        delete = Local.delete

        def dying(*words):
            delete(*words)
            os.kill(os.getpid(), signal.SIGKILL)

        Local.delete = dying
        return back_up(house.pipeline(full=True)).exit

    assert ended(forked(die_after_a_deletion)) == -signal.SIGKILL
    document = yaml.safe_load(house.config_file.read_text())
    document["backup"]["retain_backups"] = 9
    house.config_file.write_text(yaml.safe_dump(document))
    for words in ("list", "verify", "prune", "status"):
        done = house.cli(words)
        assert "packrat did not delete" not in done.stdout + done.stderr
    assert house.back_up().alarms == []


def test_a_listing_begun_before_a_deletion_revives_nothing(tmp_path):
    """A command that listed before a prune, and records after it."""
    house = House(tmp_path)
    grown(house, 0, 1, full=True)
    program, since = house.program, time.time()
    catalog = house.catalog()
    first = catalog.listed[0]
    record = program.record
    record.drop("svc", "local", [(first.stored.name, first.summary.id)], "pruned")
    house.archives[0].unlink()
    look_back(record, "here", {}, [catalog], since)
    assert look_back(record, "here", {}, [house.catalog()], time.time()) == []


def test_a_new_path_is_an_alarm_unless_the_backups_moved_along(tmp_path):
    """A deliberate change of `path` is accepted like anything else."""
    house = House(tmp_path)
    grown(house, 0, 1)
    document = yaml.safe_load(house.config_file.read_text())

    def move_to(name):
        document["backup"]["destinations"]["local"]["path"] = str(tmp_path / "store" / name)
        house.config_file.write_text(yaml.safe_dump(document))

    move_to("moved")
    house.stores["local"].rename(tmp_path / "store" / "moved")
    assert house.cli("list").returncode == 0
    move_to("new")
    done = house.cli("list")
    assert done.returncode == 5
    assert f"the destination's path was {tmp_path / 'store' / 'moved'} then" in done.stderr
    assert [kind for _, kind, _ in alarms(house)] == ["empty"]
    assert len(at_day(house, 2).alarms) == 1
    assert house.cli(*ACCEPT).returncode == 0
    assert house.cli("list").returncode == 0
    assert at_day(house, 3).alarms == []


def test_a_destination_that_was_set_up_again_is_an_alarm(tmp_path):
    """Other files of packrat are there, so it cannot pass for an unmounted disk."""
    house = House(tmp_path, keep=4)
    grown(house, 0, 1)
    shutil.rmtree(house.stores["local"])
    for name in house.state.glob("catalog.sqlite*"):
        name.unlink()
    result = at_day(house, 2)
    assert (result.status, len(result.alarms)) == ("done", 1)
    assert alarms(house) == [("local", "missing", 2)]
    house.cli(*ACCEPT)
    assert alarms(house) == []


def test_accepting_that_a_destination_is_empty_ends_its_alarms(tmp_path):
    """As `--accept-empty` always did."""
    house = House(tmp_path)
    grown(house, 0, 1)
    shutil.rmtree(house.stores["local"])
    assert house.cli("list").returncode == 4
    assert house.cli("check", "--connect", "--accept-empty").returncode == 0
    assert at_day(house, 2).alarms == []


def test_accepting_that_one_service_is_empty_ends_no_alarm_of_another(tmp_path):
    """And `check --connect` notes the alarm that it leaves."""
    house = House(tmp_path)
    document = yaml.safe_load(house.config_file.read_text())
    document["services"]["other"] = document["services"]["svc"]
    house.config_file.write_text(yaml.safe_dump(document))
    grown(house, 0, 1)
    assert house.cli("backup", "other").returncode == 0
    house.archives[-1].unlink()
    shutil.rmtree(house.stores["local"] / "other")
    assert house.cli("list").returncode == 5
    done = house.cli("check", "--connect", "--accept-empty")
    assert done.returncode == 0
    assert "note: svc at local: the newest backup is of" in done.stdout
    assert "packrat check --connect --accept svc" in house.cli("check", "--connect").stdout
    assert house.cli("list", "other").returncode == 0
    assert house.cli("list", "svc").returncode == 5


def test_an_acceptance_is_about_one_destination(tmp_path):
    """A backup that vanishes at another one later raises an alarm of its own."""
    house = House(tmp_path, ("one", "two"))
    grown(house, 0, 1)
    [gone] = house.archives[-1:]
    gone.unlink()
    assert house.cli(*ACCEPT).returncode == 0
    assert house.cli("list").returncode == 0
    (house.stores["two"] / "svc" / gone.name).unlink()
    assert house.cli("list").returncode == 5
    assert alarms(house) == [("two", "older", 1)]


def test_a_bare_machine_compares_the_destinations(tmp_path):
    """And the parent of the newest; it knows what was accepted from the statement."""
    house = House(tmp_path, ("one", "two"))
    grown(house, 0, 1, 2)
    for path in house.archives[-2:]:
        path.unlink()
    house.forget()
    for _ in range(2):  # the second look knows what the first one has found
        assert house.cli("list").returncode == 5
        assert alarms(house) == [("one", "older", 2)]
    house.forget()
    assert len(at_day(house, 3).alarms) == 1
    assert alarms(house) == []
    grown(house, 4, full=True)
    for name in ("one", "two"):
        sorted((house.stores[name] / "svc").glob("*.packrat"))[-2].unlink()
    house.forget()
    assert house.cli("list").returncode == 5
    assert alarms(house) == [("one", "missing", 1), ("two", "missing", 1)]
    assert house.cli(*ACCEPT).returncode == 0
    house.forget()
    assert house.cli("list").returncode == 0
    assert at_day(house, 5).alarms == []
    house.forget()
    assert house.cli("list").returncode == 0


def test_a_fork_shows_on_a_bare_machine(tmp_path):
    """One destination was set back while the other was away, and backups went on from there."""
    house = House(tmp_path, ("one", "two"))
    grown(house, 0)
    copy = tmp_path / "ignored-copy"
    shutil.copytree(house.stores["one"], copy)
    grown(house, 1, 2)
    house.stores["two"].rename(tmp_path / "ignored-away")
    house.stores["two"].write_text("not mounted")
    shutil.rmtree(house.stores["one"])
    copy.rename(house.stores["one"])
    house.forget()
    assert at_day(house, 4, full=True).holders == ["one"]
    house.forget()
    house.stores["two"].unlink()
    (tmp_path / "ignored-away").rename(house.stores["two"])
    assert house.cli("list").returncode == 5
    assert alarms(house) == [("one", "missing", 2), ("two", "older", 1)]


def test_what_retention_deleted_is_known_on_a_bare_machine(tmp_path):
    """From the next manifest, or from the statement of a prune by hand; also with other rules."""
    house = House(tmp_path, keep=9)
    grown(house, 0, 1, 2, full=True)
    document = yaml.safe_load(house.config_file.read_text())

    def keep(count):
        document["backup"]["retain_backups"] = count
        house.config_file.write_text(yaml.safe_dump(document))

    keep(2)
    assert len(house.json("prune")) == 1
    assert len(list(house.store.glob("*.statement"))) == 1
    grown(house, 3)  # deletes the one of day 1, which that of day 2 names as its parent
    grown(house, 4)
    assert len(list(house.store.glob("*.statement"))) == 1
    [gone] = house.catalog().listed[-1].summary.gone
    assert (gone.how, gone.archive) == ("pruned", house.catalog().listed[0].summary.parent.id)
    keep(9)
    house.forget()
    assert {row["status"] for row in house.json("verify")} == {"ok"}
    assert house.cli("list").returncode == 0


def test_a_damaged_record_costs_an_alarm_and_no_command(tmp_path):
    """A line that was cut short spoils no other."""
    house = House(tmp_path)
    grown(house, 0, 1)
    file = house.state / "record" / "svc.jsonl"
    file.write_bytes(file.read_bytes()[:-20])
    grown(house, 2)
    house.archives[-1].unlink()
    assert house.cli("list").returncode == 5
    assert alarms(house) == [("local", "older", 1)]
    file.write_bytes(b"\xff\n{}\n[1]\n")
    assert house.cli("list").returncode == 0
    file.unlink()
    file.mkdir()
    assert house.cli("list").returncode == 0
    assert house.back_up().status == "done"


@pytest.mark.thorough
def test_the_daemon_logs_it(tmp_path):
    """And the service is notified of, as one that needs attention."""
    house = House(tmp_path)
    grown(house, 0, 1)
    house.archives[-1].unlink()
    schedule(house)
    with Running(house) as daemon:
        daemon.until(lambda: "packrat did not delete" in daemon.said)
    [line] = [one for one in daemon.said.splitlines() if "packrat did not delete" in one]
    assert "error: svc at local: the newest backup is of" in line
