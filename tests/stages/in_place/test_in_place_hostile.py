"""Hostile users of a service: they cannot make root touch anything outside its folder."""

import os
import tempfile
from pathlib import Path

import pytest

from stages.errors import TargetError
from stages.in_place.record import FOLDER
from stages.in_place.recover import recover
from stages.restore_target.handles import open_below, open_service
from tests.helpers.attackers import MODES, UID, attempt, compiled, own
from tests.helpers.forked import ended, forked
from tests.helpers.in_place import Place
from tests.helpers.trees import fill

pytestmark = pytest.mark.root
TRIES = 4


@pytest.fixture
def open_room():
    """Folder that other users can reach."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:
        os.chmod(folder, 0o755)
        yield Path(folder)


@pytest.mark.parametrize("mode", MODES)
def test_a_race_against_a_restore_leads_nowhere(open_room, mode):
    program = compiled(open_room)
    for number in range(TRIES):
        attempt(open_room / f"{number}", program, mode)


def as_user(work):
    """Run in a child with the rights of the service's user; return its exit status."""

    def child():
        os.setgroups([])
        os.setgid(UID)
        os.setuid(UID)
        return work()

    return ended(forked(child))


def test_a_program_inside_a_replaced_folder_cannot_climb_out_of_it(open_room):
    """Its working directory moves to packrat's folder with it; the folder above is closed."""
    place = Place(open_room).fill()
    own(place.path)
    go, gone = os.pipe()

    def child():
        os.setgroups([])
        os.setgid(UID)
        os.setuid(UID)
        os.chdir(place.path / "data")
        inside = os.open("..", os.O_RDONLY)
        assert os.listdir(inside)
        os.read(go, 1)
        os.listdir(".")
        try:
            os.listdir("..")
        except PermissionError:
            return 7
        return 0

    program = forked(child)
    import time

    time.sleep(0.3)
    place.restore()
    os.write(gone, b"1")
    assert ended(program) == 7


def test_nothing_the_service_can_write_is_parsed(open_room):
    """A forged folder of the old layout, with a fifo and steps that lead outside, is only data."""
    place = Place(open_room).fill()
    forged = place.path / ".packrat-restore-29991231T235959Z"
    fill(forged, {"tree/a": b"evil", ".packrat-steps": b"[" * 100_000})
    os.mkfifo(forged / ".packrat-staging")
    own(place.path)
    assert place.recover() == type(place.recover())()
    with pytest.raises(AssertionError, match="nothing to undo"):
        place.undo()
    assert place.forget().folders == 0
    assert (forged / "tree" / "a").read_bytes() == b"evil"


def test_a_folder_exchanged_for_another_gets_no_attributes(open_room):
    """The user renames root's own folder to the name of one whose attributes are restored."""
    place = Place(open_room).fill()
    (place.path / "roots").mkdir(mode=0o700)
    place.restore()
    own(place.path / "part")
    os.rename(place.path / "part", place.path / "elsewhere")
    os.rename(next(place.path.glob(".packrat-*")) / "tree" / "roots", place.path / "part")
    with pytest.raises(TargetError):
        place.undo()
    found = os.stat(place.path / "part")
    assert (found.st_uid, found.st_mode & 0o777) == (0, 0o700)


@pytest.mark.parametrize("owner", ["root", "user"])
def test_a_symlink_on_the_way_is_followed_only_if_root_made_it(open_room, owner):
    (open_room / "real" / "svc").mkdir(parents=True)
    (open_room / "around").mkdir()
    (open_room / "around" / "link").symlink_to("../real")
    if owner == "user":
        os.chown(open_room / "around", UID, UID)
        with pytest.raises(TargetError, match="symlink 'link', which another user can change"):
            open_service(str(open_room / "around" / "link" / "svc"))
        return
    fd = open_service(str(open_room / "around" / "link" / "svc"))
    assert os.path.samestat(os.fstat(fd), os.stat(open_room / "real" / "svc"))
    with pytest.raises(OSError, match="Not a directory"):
        open_below(fd, "../../around/link")
    os.close(fd)


def test_without_root_rights_read_only_folders_are_exchanged_and_deleted(open_room):
    """As in Go's module cache: a folder that gets another parent must be writable meanwhile."""
    (open_room / "home").mkdir()
    os.chown(open_room / "home", UID, UID)

    def child():
        place = Place(open_room / "home")
        fill(place.path, {"ro/z": b"old"})
        fill(place.backup, {"ro/z": b"new"})
        place.fill()
        for root in (place.path, place.backup):
            (root / "ro").chmod(0o555)
        place.old = place.look()
        place.restore()
        assert (place.path / "ro" / "z").read_bytes() == b"new"
        assert (place.path / "ro").stat().st_mode & 0o777 == 0o555
        place.undo()
        assert place.look() == place.old
        assert place.forget().failed == ()
        assert not list(place.path.glob(".packrat*"))
        return 0

    assert as_user(child) == 0


def test_an_unreadable_record_blocks_its_service_and_no_other(open_room):
    place = Place(open_room).fill()
    place.restore()
    [record] = Path(place.state, FOLDER, "svc").iterdir()
    record.write_bytes(b"{")
    assert "cannot be read" in place.recover().owed[0]
    assert recover(place.state, "other", 1e9).owed == ()
    with pytest.raises(TargetError, match="cannot be read"):
        place.forget()
