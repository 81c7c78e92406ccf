"""Local destination: nothing is listed before it is proven, nothing foreign is touched."""

import os
import stat
from functools import partial

import pytest

from tests.helpers.trees import noise
from vault.errors import Away, Damaged, NotThere
from vault.spool import Spool
from vault.store.base import Stored, unfinished
from vault.store.local import Local
from vault.store.probe import probe
from vault.store.upload import Part

NAME = "svc-20260101T000000Z-00112233.packrat"
OTHER = "svc-20260102T000000Z-44556677.packrat"
DATA = noise(300_000)


def nothing():
    """Never end a wait."""


@pytest.fixture
def place(tmp_path):
    return Local("disk", str(tmp_path / "new" / "store"))


@pytest.fixture
def spool(tmp_path):
    (tmp_path / "spool").mkdir()
    spool = Spool(str(tmp_path / "spool"), NAME, (), 1 << 40, 0)
    spool.grow(spool.write(0, DATA), nothing)
    spool.finish()
    return spool


def spooled(spool):
    for offset, length in spool.ranges(nothing):
        yield Part(offset, length, partial(spool.read, offset, length), spool.link)


def received(place, spool, name=NAME):
    taken = list(place.write("svc", name, spooled(spool)))
    assert taken[-1] == len(DATA)


def test_an_unfinished_file_is_not_listed(place, spool):
    """Until it is published, an archive has a hidden name that no listing shows."""
    for _ in place.write("svc", NAME, spooled(spool)):
        assert place.archives("svc") == []
    assert os.listdir(place.root + "/svc") == [unfinished(NAME)]
    place.commit("svc", NAME, lambda _: None)
    assert place.archives("svc") == [Stored(NAME, len(DATA))]
    assert place.read("svc", NAME, 0, len(DATA)) == DATA


def test_only_what_was_proven_is_published(place, spool):
    """An archive that fails the proof never gets its final name; the proof reads that file."""
    received(place, spool)

    def refuse(at):
        assert place.read("svc", at, 0, 9) == DATA[:9]
        raise Damaged("x", "does not read back")

    with pytest.raises(Damaged):
        place.commit("svc", NAME, refuse)
    assert place.archives("svc") == []
    place.discard("svc", NAME)
    place.discard("svc", NAME)  # there may be nothing to discard
    assert os.listdir(place.root + "/svc") == []


def test_the_first_of_two_destinations_on_one_disk_takes_the_file_itself(place, spool, tmp_path):
    """The first links the spool's file, the second one writes its own copy."""
    second = Local("other", str(tmp_path / "other"))
    os.makedirs(place.root)
    os.makedirs(second.root)
    received(place, spool)
    received(second, spool)
    inodes = [os.stat(f"{p.root}/svc/{unfinished(NAME)}").st_ino for p in (place, second)]
    assert inodes[0] == os.stat(spool.path).st_ino != inodes[1]
    spool.close(keep=False)
    for one in (place, second):
        one.commit("svc", NAME, lambda _: None)
        assert one.read("svc", NAME, 0, len(DATA)) == DATA


def test_a_copy_from_another_destination_is_the_same_bytes(place, spool, tmp_path):
    """Catch-up copies byte by byte, and never links."""
    received(place, spool)
    place.commit("svc", NAME, lambda _: None)
    target = Local("late", str(tmp_path / "late"))
    list(target.write("svc", NAME, place.parts("svc", NAME, len(DATA))))
    target.commit("svc", NAME, lambda _: None)
    assert target.read("svc", NAME, 0, len(DATA)) == DATA
    assert os.stat(f"{place.root}/svc/{NAME}").st_nlink == 2  # the spool and itself


def test_other_users_cannot_read_stored_files(place, spool):
    """Files are 0600, folders 0700, whatever the umask."""
    old = os.umask(0)
    try:
        received(place, spool)
    finally:
        os.umask(old)
    place.commit("svc", NAME, lambda _: None)
    assert stat.S_IMODE(os.stat(f"{place.root}/svc/{NAME}").st_mode) == 0o600
    assert stat.S_IMODE(os.stat(f"{place.root}/svc").st_mode) == 0o700


FOREIGN = [
    "notes.txt",
    ".hidden",
    ".notes.part",
    "svc.packrat",
    "svc-20260101T000000Z-0011223.packrat",
    "other-20260101T000000Z-00112233.packrat",
    "svc-20260101T000000Z-00112233.packrat.bak",
]


def test_only_own_names_are_listed_and_cleaned(place, spool):
    """Foreign files, folders and other services' archives are neither listed nor deleted."""
    folder = place.root + "/svc"
    os.makedirs(folder + "/" + OTHER)  # a folder with the name of an archive
    for name in FOREIGN:
        with open(f"{folder}/{name}", "wb") as file:
            file.write(b"theirs")
    received(place, spool)
    with open(f"{folder}/{unfinished(OTHER)}", "wb") as file:
        file.write(b"of a dead run")
    assert place.archives("svc") == []
    place.clean("svc")
    assert sorted(os.listdir(folder)) == sorted([*FOREIGN, OTHER])


def test_ranges_are_as_asked_for_and_short_at_the_end(place, spool):
    """A range beyond the end returns what exists."""
    received(place, spool)
    place.commit("svc", NAME, lambda _: None)
    assert place.read("svc", NAME, 5, 10) == DATA[5:15]
    assert place.read("svc", NAME, len(DATA) - 3, 10) == DATA[-3:]
    assert place.read("svc", NAME, len(DATA) + 3, 10) == b""
    assert place.size("svc", NAME) == len(DATA)


def test_archives_come_oldest_first(place):
    """The list is in the order of names, which is that of time."""
    os.makedirs(place.root + "/svc")
    for name in (OTHER, NAME):
        with open(f"{place.root}/svc/{name}", "wb"):
            pass
    assert [stored.name for stored in place.archives("svc")] == [NAME, OTHER]
    assert place.services() == ["svc"]


def test_a_destination_that_was_never_used_is_empty(place):
    """A missing folder has no services and no archives, and is no error."""
    assert (place.services(), place.archives("svc"), place.files("svc")) == ([], [], [])
    place.clean("svc")


@pytest.mark.parametrize("action", ["read", "size", "delete"])
def test_a_missing_file_raises_not_there(place, action):
    """Every access to a missing file raises NotThere, naming destination and file."""
    given = {"read": (0, 1)}.get(action, ())
    with pytest.raises(NotThere, match=f"disk.*{NAME}"):
        getattr(place, action)("svc", NAME, *given)


def test_errors_of_the_disk_are_translated(tmp_path, spool):
    """A file in place of the destination's folder raises Away, with its name and a hint."""
    (tmp_path / "store").write_bytes(b"a file")
    place = Local("disk", str(tmp_path / "store"))
    for action in (
        place.services,
        lambda: place.archives("svc"),
        lambda: list(place.write("svc", NAME, spooled(spool))),
        lambda: probe(place, "x"),
        lambda: place.read("svc", NAME, 0, 1),
    ):
        with pytest.raises(Away, match="destination disk") as caught:
            action()
        assert caught.value.hint
    assert (tmp_path / "store").read_bytes() == b"a file"


def test_a_probe_leaves_nothing(place):
    """`check --connect` writes, reads back, renames and deletes."""
    probe(place, "token")
    assert os.listdir(place.root) == []


def test_folders_of_a_new_destination_are_synced_from_the_first_that_existed(
    place, spool, tmp_path, monkeypatch
):
    """A power cut after the first backup takes none of the new folders away."""
    synced, fsync = [], os.fsync

    def spy(fd):
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", spy)
    received(place, spool)
    place.commit("svc", NAME, lambda _: None)
    folders = [tmp_path, tmp_path / "new", tmp_path / "new" / "store", tmp_path / "new/store/svc"]
    assert {str(folder) for folder in folders} <= set(synced)
    assert synced.index(str(tmp_path)) < synced.index(f"{place.root}/svc")
