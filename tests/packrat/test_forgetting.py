"""`packrat forget`: services that left the configuration, and single backups."""

import json
import os
import shutil
import signal
from unittest.mock import patch

import pytest
import yaml

from tests.helpers.forked import ended, forked
from tests.helpers.house import House, cheap_keys
from tests.helpers.network import done, house_with
from tests.helpers.servers import SshServer
from tests.helpers.terminal import status, terminal
from tests.helpers.trees import fill, noise
from vault.archive.key_file import write_key_file
from vault.store.local import Local

BOTH = ("local", "usb")


def rename(house, old, new):
    """Rename a service in the configuration."""
    text = yaml.safe_load(house.config_file.read_text())
    text["services"] = {new if k == old else k: v for k, v in text["services"].items()}
    house.config_file.write_text(yaml.safe_dump(text))


def backed_up(house, times):
    for number in range(times):
        fill(house.source, {f"new-{number}": f"version {number}\n".encode()})
        house.backed_up()


def files(house, name, service="notes", suffix="packrat"):
    return sorted(path.name for path in (house.stores[name] / service).glob(f"*.{suffix}"))


def short(name):
    return name.removesuffix(".packrat")[-8:]


def unplugged(house, name):
    """Take a destination away; return a function that puts it back."""
    store = house.stores[name]
    aside = store.with_name(f"{name}-aside")
    store.rename(aside)
    store.write_text("not a folder")

    def plug():
        store.unlink()
        aside.rename(store)

    return plug


@pytest.fixture
def configured(tmp_path):
    """House with three backups of `notes` at two destinations."""
    house = House(tmp_path, BOTH, "notes")
    backed_up(house, 3)
    return house


@pytest.fixture
def left(configured):
    """The same after `notes` was renamed to `memos`."""
    rename(configured, "notes", "memos")
    return configured


def test_a_service_that_left_the_configuration_is_listed_and_noted(left):
    said = left.cli("list").stdout
    assert "Not in the configuration: notes;" in said
    assert "packrat list --all-services" in said
    assert "packrat forget" in said
    assert left.json("list") == []
    rows = left.json("list", "--all-services")
    assert [(row["service"], row["configured"]) for row in rows] == [("notes", False)] * 3
    assert {why for row in rows for why in row["reasons"].values()} == {"not in the configuration"}


@pytest.mark.parametrize(
    ("words", "note"),
    [
        (("find", "new-*"), "so not searched: notes; packrat find PATTERN SERVICE searches one."),
        (("verify",), "so not verified: notes; packrat verify SERVICE verifies one."),
    ],
)
def test_commands_for_all_services_note_one_that_left(left, words, note):
    done = left.cli(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.endswith(f"Not in the configuration, {note}\n")
    left.json(*words)


def test_a_configured_service_is_not_noted(configured):
    for words in (("list",), ("find", "new-*"), ("verify",)):
        assert "Not in the configuration" not in configured.cli(*words).stdout
    assert {row["configured"] for row in configured.json("list", "--all-services")} == {True}


def test_commands_that_look_work_for_a_service_that_left(left):
    out = str(left.root / "out")
    for words in (
        ("ls", "notes"),
        ("cat", "notes", "latest", "new-2"),
        ("find", "new-*", "notes"),
        ("diff", "notes", "latest~1"),
        ("verify", "notes"),
        ("usage", "notes"),
        ("history", "notes"),
        ("plan", "--restore", "--to", out, "notes"),
        ("restore", "notes", "--to", out, "--yes"),
    ):
        done = left.cli(*words)
        assert (done.returncode, done.stderr) == (0, ""), words
    assert (left.root / "out" / "new-2").read_text() == "version 2\n"


def test_in_place_and_backups_of_a_service_that_left_are_refused(left):
    done = left.cli("restore", "notes", "--in-place", "--yes")
    assert done.returncode == 2
    assert "packrat restore notes --to DIR" in done.stderr
    assert left.cli("backup", "notes").returncode == 2
    assert left.cli("prune", "notes").returncode == 2


def test_no_run_touches_a_service_that_left(left):
    before = {name: files(left, name) for name in BOTH}
    assert left.cli("backup", "--all").returncode == 0
    for words in (("prune",), ("verify", "--due"), ("verify",), ("status",)):
        assert left.cli(*words).returncode == 0, words
    assert {name: files(left, name) for name in BOTH} == before


def test_folders_of_others_are_no_services(left):
    """Names of folders come from whoever can write to the destination."""
    store = left.stores["local"]
    for name in ("photos", "-rf", "x\x1b[2J", "a b", "..\\x"):
        (store / name).mkdir()
        (store / name / f"{name}-20260101T000000Z-12345678.packrat").write_bytes(b"x")
    (store / "photos" / "photos-20260101T000000Z-12345678.packrat").unlink()
    (store / "photos" / "holiday.jpg").write_bytes(b"x")
    assert "configuration: notes;" in left.cli("list").stdout
    for name in ("-rf", "../notes", "x\x1b[2J", "", "."):
        done = left.cli("forget", "--yes", "--", name)
        assert done.returncode == 2, name
        assert "\x1b" not in done.stderr
    assert left.cli("forget", "photos", "--yes").returncode == 4
    assert (store / "photos" / "holiday.jpg").exists()


def test_forget_needs_the_name_or_yes(left):
    done = left.cli("forget", "notes")
    assert done.returncode == 2
    assert "--yes" in done.stderr
    child = terminal(left, "forget", "notes")
    child.expect("Type notes to delete")
    assert "usb" in child.before
    child.sendline("memos")
    assert status(child) == 130
    assert len(files(left, "local")) == 3


def test_forget_of_a_configured_service_is_refused(configured):
    done = configured.cli("forget", "notes", "--yes")
    assert done.returncode == 2
    assert "is in the configuration" in done.stderr
    assert len(files(configured, "local")) == 3


def test_forget_deletes_only_what_packrat_wrote(left):
    strange = left.stores["local"] / "notes" / "my notes.txt"
    strange.write_text("mine")
    document = left.json("forget", "notes", "--yes")
    assert len(document["deleted"]) == 6
    assert document["owed"] == []
    assert [files(left, name) for name in BOTH] == [[], []]
    assert strange.read_text() == "mine"
    assert "notes" not in left.cli("list").stdout
    assert left.cli("forget", "notes", "--yes").stdout == "notes: nothing is left to delete\n"
    assert not list((left.state / "forget").iterdir())


def test_a_new_service_of_that_name_begins_a_new_line(left):
    line = left.catalog().backups[-1].summary.line
    assert left.cli("forget", "notes", "--yes").returncode == 0
    rename(left, "memos", "notes")
    left.backed_up()
    summary = left.catalog().backups[-1].summary
    assert summary.line != line
    assert (summary.kind, summary.parent, summary.sequence) == ("full", None, 1)


def test_a_destination_that_was_away_is_cleaned_by_the_next_run(left):
    plug = unplugged(left, "usb")
    document = left.json("forget", "notes", "--yes", status=5)
    assert document["owed"] == ["usb"]
    plug()
    assert len(files(left, "usb")) == 3
    done = left.cli("backup", "--all", "--json")
    [result] = json.loads(done.stdout)
    assert any("notes: deleted 3 forgotten archives" in text for text in result["warnings"])
    assert result["status"] == "done"
    assert [files(left, name) for name in BOTH] == [[], []]
    assert files(left, "usb", suffix="statement") == files(left, "local", suffix="statement")


def test_the_same_command_cleans_a_destination_that_was_away(left):
    plug = unplugged(left, "usb")
    assert left.cli("forget", "notes", "--yes").returncode == 5
    plug()
    shutil.rmtree(left.state)  # the statement at the other destination is enough
    assert left.cli("forget", "notes", "--yes").returncode == 0
    assert files(left, "usb") == []


def test_catch_up_does_not_bring_back_what_was_forgotten(left):
    """Neither with the state folder nor without, and the new line does not build on it."""
    plug = unplugged(left, "usb")
    assert left.cli("forget", "notes", "--yes").returncode == 5
    rename(left, "memos", "notes")
    shutil.rmtree(left.state)
    plug()
    old = files(left, "usb")
    result = left.back_up()
    assert (result.status, result.kind) == ("done", "full")
    assert not set(files(left, "local")) & set(old)
    assert files(left, "usb") == files(left, "local"), "it is deleted when the run has ended"
    assert left.catalog("usb").backups[-1].summary.sequence == 1


def killing(house, words, deletions):
    """Run a command in a child that dies before a deletion; return its status."""
    deleted = []
    delete = Local.delete

    def dying(store, service, name, *rest):
        if len(deleted) == deletions:
            os.kill(os.getpid(), signal.SIGKILL)
        deleted.append(name)
        delete(store, service, name, *rest)

    def work():
        with patch.object(Local, "delete", dying):
            return house.cli(*words).returncode

    return ended(forked(work))


@pytest.mark.parametrize("deletions", [1, 5])
def test_killed_in_the_middle_the_same_command_finishes(left, deletions):
    words = ("forget", "notes", "--yes")
    assert killing(left, words, deletions) == -signal.SIGKILL
    assert files(left, "local", suffix="statement"), "the statement comes first"
    assert len(files(left, "local") + files(left, "usb")) == 6 - deletions
    assert left.cli("verify", "notes").returncode in (0, 2), "what is left is whole"
    done = left.cli(*words)
    assert (done.returncode, done.stderr) == (0, "")
    assert [files(left, name) for name in BOTH] == [[], []]
    assert len(files(left, "local", suffix="statement")) == 1


def test_killed_in_the_middle_the_next_run_finishes(left):
    assert killing(left, ("forget", "notes", "--yes"), 4) == -signal.SIGKILL
    assert left.cli("prune").returncode == 0
    assert [files(left, name) for name in BOTH] == [[], []]


def test_archives_under_another_key_are_kept_without_the_option(left):
    write_key_file(str(left.key_file), cheap_keys("another password"), replace=True)
    done = left.cli("forget", "notes", "--yes")
    assert done.returncode == 4
    assert "under another key: --other-keys" in done.stderr
    assert len(files(left, "local")) == 3
    assert left.cli("forget", "notes", "--yes", "--other-keys").returncode == 0
    assert [files(left, name) for name in BOTH] == [[], []]


def test_archives_of_another_host_are_kept_without_the_option(left):
    text = left.config_file.read_text().replace("host: here", "host: there")
    left.config_file.write_text(text)
    done = left.cli("forget", "notes", "--yes")
    assert done.returncode == 4
    assert "made by host here: --other-hosts" in done.stderr
    assert left.cli("forget", "notes", "--yes", "--other-hosts").returncode == 0
    assert files(left, "local") == []


def test_old_keys_of_a_configured_service_can_be_cleared(configured):
    """So that the warning about archives under another key ends."""
    write_key_file(str(configured.key_file), cheap_keys("another password"), replace=True)
    words = ("forget", "notes", "--other-keys", "--yes")
    assert configured.cli(*words).returncode == 4, "there is no backup under the new key"
    configured.backed_up()
    assert "--other-keys" in configured.cli("backup", "notes").stderr
    assert configured.cli(*words).returncode == 0
    assert configured.cli("backup", "notes").stderr == ""
    assert len(files(configured, "local")) == 3
    again = configured.cli(*words)
    assert (again.returncode, "sealed under another key" in again.stderr) == (4, True)


def damage(archive):
    """Flip one byte in the middle of a file that no other destination shares."""
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 0xFF
    archive.unlink()
    archive.write_bytes(data)


def test_old_damage_is_cleared_once_there_is_a_good_backup(tmp_path):
    """Everything is green again afterwards, and the advice of verify works as it stands."""
    house = House(tmp_path, BOTH, "notes")
    fill(house.source, {"large": noise(3 << 20)})
    house.backed_up()
    fill(house.source, {"small": b"1"})
    house.backed_up()
    [base, user] = files(house, "local")
    for name in BOTH:
        damage(house.stores[name] / "notes" / base)
    assert house.cli("verify", "--deep").returncode == 4
    refused = house.cli("forget", "notes", short(base), short(user), "--yes")
    assert refused.returncode == 4
    assert "packrat backup notes" in refused.stderr
    house.backed_up()
    said = house.cli("verify", "--deep")
    assert said.returncode == 4
    refused = house.cli("forget", "notes", short(base), "--yes")
    assert refused.returncode == 4
    assert short(user) in refused.stderr
    [advice] = [line for line in said.stdout.splitlines() if "packrat forget" in line]
    words = advice.partition("packrat forget ")[2].partition(" deletes")[0].split()
    assert set(words) == {"notes", short(base), short(user)}
    assert house.cli("forget", *words, "--yes").returncode == 0
    for words in (("list",), ("verify", "--deep"), ("status",)):
        done = house.cli(*words)
        assert (done.returncode, done.stderr) == (0, ""), words
    assert len(house.json("list")) == 1


def test_the_newest_good_backup_and_needed_and_pinned_ones_are_refused(configured):
    names = files(configured, "local")
    newest = configured.cli("forget", "notes", short(names[-1]), "--yes")
    assert newest.returncode == 4
    assert "no good backup of notes is newer" in newest.stderr
    needed = configured.cli("forget", "notes", short(names[0]), "--yes")
    assert needed.returncode == 4
    assert short(names[1]) in needed.stderr
    assert configured.cli("pin", "notes", short(names[1]), "why").returncode == 0
    pinned = configured.cli("forget", "notes", short(names[0]), short(names[1]), "--yes")
    assert pinned.returncode == 4
    assert f"packrat unpin notes {short(names[1])}" in pinned.stderr
    assert files(configured, "local") == names


def test_a_single_backup_is_deleted_everywhere_and_not_brought_back(configured):
    """Also where a destination was away, and a name that no archive has is an error."""
    plug = unplugged(configured, "usb")
    result = configured.cli("backup", "--full", "notes")
    assert result.returncode == 5
    old = files(configured, "local")[2]
    document = configured.json("forget", "notes", short(old), "--yes", status=5)
    assert [row["archive"] for row in document["deleted"]] == [old]
    plug()
    assert configured.back_up().status == "done"
    assert old not in files(configured, "local") + files(configured, "usb")
    assert files(configured, "local") == files(configured, "usb")
    assert not list((configured.state / "forget").iterdir())
    assert configured.cli("verify", "--deep").returncode == 0
    for name in ("00000000", "yesterday"):
        assert configured.cli("forget", "notes", name, "--yes").returncode == 4


@pytest.mark.thorough
@pytest.mark.usefixtures("impatient")
def test_forget_at_servers_of_which_one_is_down(tmp_path, s3):
    """S3 at once, a NAS with the next run after it is up again."""
    nas = SshServer(tmp_path / "nas")
    house = house_with(tmp_path, {"s3": s3.destination(), "nas": nas.destination("./dir/")})
    with nas.up():
        assert done(house.back_up())
        fill(house.source, {"b/new": b"1"})
        assert done(house.back_up())
    rename(house, "svc", "other")
    document = house.json("forget", "svc", "--yes", status=5)
    assert document["owed"] == ["nas"]
    assert [path.suffix for path in s3.files()] == [".statement"]
    folder = nas.folder / "login" / "dir" / "svc"
    assert len(list(folder.glob("*.packrat"))) == 2
    with nas.up():
        assert "deleted 2 forgotten archives" in house.cli("prune").stderr
        assert not list(folder.glob("*.packrat"))
        assert len(list(folder.glob("*.statement"))) == 1
