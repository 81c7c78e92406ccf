"""Backups under another key, opened by their own password in any of three ways."""

import os
import time

import pytest

from engine.run import Clock
from tests.helpers.house import PASSWORD, cheap_keys
from tests.helpers.screen import screen
from tests.helpers.terminal import status, terminal
from tests.helpers.trees import fill
from vault.archive.key_file import write_key_file


@pytest.fixture
def locked(house):
    """A house with a backup under a key that it no longer has, and one under its own."""
    fill(house.source, {"old": b"old"})
    an_hour_ago = Clock(now=lambda: time.time_ns() - 3600 * 10**9)  # the names show which is newer
    house.locked = house.back_up(clock=an_hour_ago).id
    house.key_file.unlink()
    write_key_file(str(house.key_file), cheap_keys("new password", b"another salt 16."))
    fill(house.source, {"new": b"new"})
    house.backed_up()
    (house.source / "new").unlink()
    return house


def restore(house, *more):
    """Restore the locked backup without a terminal."""
    out = str(house.root / "out")
    return house.cli("restore", "svc", "--backup", house.locked, "--to", out, "--yes", *more)


def test_a_password_file_opens_it_for_this_command_only(locked):
    """`restore` and `ls` read it; key file and cache are unchanged."""
    key = locked.key_file.read_bytes()
    words = ("--password-file", locked.password_file())
    assert restore(locked, *words).returncode == 0
    assert (locked.root / "out" / "old").read_bytes() == b"old"
    assert "  old" in locked.cli("ls", "svc", locked.locked, *words).stdout
    assert locked.key_file.read_bytes() == key
    assert [row["files"] for row in locked.json("list")] == [2]
    assert restore(locked).returncode == 7


@pytest.mark.parametrize(
    ("password", "says"),
    [("wrong", "is not the password of local:svc/svc-"), (None, "pass --password-file")],
)
def test_without_its_password_it_stays_locked(locked, password, says):
    """Without a terminal, a wrong or missing password is exit 7, and nothing is created."""
    words = ("--password-file", locked.password_file(password)) if password else ()
    for done in (restore(locked, *words), locked.cli("ls", "svc", locked.locked, *words)):
        assert done.returncode == 7
        assert says in done.stderr
        assert "Traceback" not in done.stderr
    assert not (locked.root / "out").exists()


def test_latest_is_never_a_locked_backup_if_there_is_another(locked):
    """`latest` is a backup under the current key, and needs no password."""
    out = locked.root / "out"
    assert locked.cli("restore", "svc", "--to", str(out), "--yes").returncode == 0
    assert sorted(os.listdir(out)) == ["new", "old"]
    (locked.archives[1]).unlink()
    done = locked.cli("restore", "svc", "--to", str(out) + "2", "--yes")
    assert done.returncode == 7, "the remaining backup is locked"


@pytest.mark.thorough
def test_a_terminal_is_asked_up_to_three_times(locked):
    """A wrong password is reported and may be typed again; the password is never shown."""
    out = locked.root / "out"
    words = ("restore", "svc", "--backup", locked.locked, "--to", str(out), "--yes")
    child = terminal(locked, *words)
    child.expect("sealed under another key")
    child.expect("Its password: ")
    child.sendline("wrong")
    child.expect("Wrong password.\r\nIts password: ")
    child.sendline(PASSWORD)
    assert status(child) == 0
    assert PASSWORD not in child.before
    assert [p.read_bytes() for p in out.iterdir()] == [b"old"]
    child = terminal(locked, "ls", "svc", locked.locked)
    for _ in range(3):
        child.expect("Its password: ")
        child.sendline("wrong")
    assert status(child) == 7


def test_ctrl_c_at_the_password_ends_it(locked):
    """Exit 130, and nothing is created."""
    child = terminal(locked, "ls", "svc", locked.locked)
    child.expect("Its password: ")
    child.sendintr()
    assert status(child) == 130


def test_the_picker_asks_for_the_password_of_one_that_was_given(locked):
    """`--backup` skips the list but not the password prompt; Esc leaves."""
    out = locked.root / "out"
    words = ("restore", "svc", "--backup", locked.locked, "--to", str(out))
    with screen(locked, *words) as shown:
        shown.until("Password, for")
        shown.keys("Escape")
        assert shown.until("EXIT") == "nothing was restored\nEXIT 130\n"
    with screen(locked, *words) as shown:
        shown.until("Password, for")
        shown.keys("wrong", "Enter")
        shown.until("Wrong password")
        shown.keys(PASSWORD, "Enter")
        shown.until("What of")
        shown.keys("Enter")
        shown.until("Restore?")
        shown.keys("Enter")
        shown.until("EXIT 0")
    assert [p.read_bytes() for p in out.iterdir()] == [b"old"]


def test_a_password_that_was_given_is_not_asked_for_again(locked):
    """Switching between backups under two keys asks for each password once."""
    with screen(locked, "restore", "svc") as shown:
        shown.until("Which backup")
        shown.keys("Down", "Enter")
        shown.until("Password, for")
        shown.keys(PASSWORD, "Enter")
        shown.until("What of")
        shown.keys("Escape")
        shown.until("Which backup")
        shown.keys("Up", "Enter")
        shown.until("What of")
        shown.keys("Escape")
        shown.until("Which backup")
        shown.keys("Down", "Enter")
        shown.until("What of")
