"""Large files: what changes inside is stored in small chunks, and all of it is restored."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.run import Clock
from tests.helpers.house import House
from tests.helpers.indexes import entries_of
from tests.helpers.trees import differences, fill, noise
from vault.archive.chunks import FINE_AVERAGE
from vault.archive.format import CHUNK_AVERAGE
from vault.archive.lists import ChunkLists

MIB = 1 << 20
SIZE = 24 * MIB
LATER = Clock(now=lambda: time.time_ns() + 10**10)
"""Clock by which everything written before the run is old enough to be trusted."""
RESCUE = Path(__file__).parents[2] / "rescue.py"


@pytest.fixture
def image(house):
    """A file of 24 MiB, backed up once."""
    fill(house.source, {"image": noise(SIZE), "other": b"quiet"})
    stored(house)
    return house.source / "image"


def stored(house):
    """Back up; return the plaintext bytes of files and index that are stored."""
    time.sleep(0.01)  # a tick of the kernel's clock
    result = house.back_up(clock=LATER)
    assert (result.status, result.error) == ("done", None)
    return house.catalog().backups[-1].summary.payload


def rewrite(path, *places, seed=7, length=4096):
    with open(path, "r+b") as file:
        for place in places:
            file.seek(place)
            file.write(noise(length, seed + place))


def newest(house, path="image"):
    """Return the entry of a path in the newest backup, and its chunks."""
    catalog, keys = house.catalog(), house.program.keys
    opened = {item.summary.id: catalog.open(item.stored.name, keys) for item in catalog.listed}

    def fetch(archive, number):
        return opened[archive].frame(number, b"i")

    manifest = opened[catalog.backups[-1].summary.id].manifest
    [entry] = [e for e in entries_of(manifest.index, fetch) if e.name == path]
    return entry, list(ChunkLists(fetch, "x").references(entry))


def is_whole(house):
    """Assert that packrat and rescue.py restore the newest backup, and that all is proven."""
    number = len(list(house.root.glob("out*")))
    assert differences(house.source, house.restore(f"out{number}")) == []
    target = house.root / f"out{number + 1}"
    words = [str(house.archives[-1]), str(target), "--key-file", str(house.key_file)]
    subprocess.run([sys.executable, RESCUE, *words], check=True, capture_output=True)
    assert differences(house.source, target) == []
    done = house.cli("verify", "--deep")
    assert done.returncode == 0, done.stdout + done.stderr


def test_from_the_second_change_on_small_chunks_are_stored(house, image):
    """The first change costs the chunks around it; later ones cost 64 KiB or so each."""
    assert newest(house)[0].average == CHUNK_AVERAGE
    rewrite(image, 5 * MIB)
    assert 256 << 10 < stored(house) < 6 * MIB
    entry, chunks = newest(house)
    assert (entry.average, entry.chunks) == (FINE_AVERAGE, [])
    assert len(entry.lists) > 1
    assert len(chunks) > 200
    for place in (9 * MIB, SIZE - 4096):
        rewrite(image, place)
        assert stored(house) < 400 << 10
    is_whole(house)


def test_before_the_first_change_small_chunks_are_stored_from_the_third_on(house, image):
    """Like the header of a database, which changes in every run."""
    rewrite(image, 5 * MIB)
    stored(house)
    for seed in range(4):
        rewrite(image, 0, seed=seed)
        assert stored(house) < (400 << 10 if seed else 6 * MIB)
    is_whole(house)


def test_parts_of_a_known_chunk_are_referred_to_where_they_are(house, image):
    """Cutting a file finely stores nothing of it again."""
    first = house.catalog().backups[-1].summary.id
    rewrite(image, 5 * MIB)
    stored(house)
    _, chunks = newest(house)
    assert sum(chunk[4] for chunk in chunks if chunk[1] == first) > SIZE - 6 * MIB


def test_a_file_that_grows_keeps_its_large_chunks(house, image):
    """A log is only appended to: small chunks would gain nothing."""
    for seed in range(3):
        with open(image, "ab") as file:
            file.write(noise(3 * MIB, 50 + seed))
        assert stored(house) < 8 * MIB
        assert newest(house)[0].average == CHUNK_AVERAGE
    is_whole(house)


def test_a_file_that_is_new_throughout_keeps_its_large_chunks(house, image):
    """A compressed dump has nothing in common with the previous one."""
    image.write_bytes(noise(SIZE, 3))
    assert stored(house) > SIZE
    assert newest(house)[0].average == CHUNK_AVERAGE


def test_a_small_file_keeps_its_large_chunks(house):
    """Below 16 MiB a file is cut as ever."""
    fill(house.source, {"image": noise(15 * MIB)})
    stored(house)
    for place in (0, 8 * MIB):
        rewrite(house.source / "image", place)
        stored(house)
    assert newest(house)[0].average == CHUNK_AVERAGE
    is_whole(house)


@pytest.mark.parametrize("change", ["renamed", "copied", "touched", "inserted"])
@pytest.mark.thorough
def test_small_chunks_are_found_again(house, image, change):
    """Under another name, in a copy, moved within the file: nothing is stored twice."""
    rewrite(image, 2 * MIB, 9 * MIB)
    stored(house)
    match change:
        case "renamed":
            image.rename(house.source / "disk")
        case "copied":
            shutil.copyfile(image, house.source / "disk")
        case "touched":
            os.utime(image)
        case "inserted":
            image.write_bytes(noise(10_000, 99) + image.read_bytes())
    limit = 2 * MIB if change == "inserted" else 64 << 10
    assert stored(house) < limit
    is_whole(house)


def test_a_hard_linked_large_file_is_one_file_in_every_backup(house, image):
    """All names share the lists, also when it is cut finely in between."""
    os.link(image, house.source / "another name")
    for place in (3 * MIB, 7 * MIB):
        rewrite(image, place)
        stored(house)
        assert newest(house)[0].lists == newest(house, "another name")[0].lists
    is_whole(house)


def test_a_sparse_image_keeps_its_holes(house, image):
    """No small chunk reaches over a hole either."""
    with open(image, "r+b") as file:
        file.truncate(SIZE + 64 * MIB)
        file.seek(SIZE + 40 * MIB)
        file.write(noise(MIB, 5))
    stored(house)
    rewrite(image, 3 * MIB, SIZE + 40 * MIB + 8192)
    stored(house)
    rewrite(image, 9 * MIB)
    assert stored(house) < 700 << 10  # the filesystem may report the data in other extents
    assert len(newest(house)[0].extents) > 1
    is_whole(house)


def test_an_unchanged_backup_stores_no_list_again(house, image):
    """Neither chunk lists nor block lists, whatever else is in the index."""
    fill(house.source, {f"{n:04}": b"" for n in range(500)})
    rewrite(image, 3 * MIB)
    stored(house)
    assert stored(house) == 0
    fill(house.source, {"new": b"new"})
    assert stored(house) < 64 << 10
    is_whole(house)


@pytest.mark.thorough
def test_lists_outlive_the_archives_that_held_them(tmp_path):
    """When a little used archive is replaced, chunk lists in it are stored again."""
    house = House(tmp_path, keep=2)
    fill(house.source, {"image": noise(SIZE), "bulk": noise(4 * MIB, 8)})
    stored(house)
    image = house.source / "image"
    for turn in range(12):
        fill(house.source, {"bulk": noise(4 * MIB, 100 + turn)})
        rewrite(image, (turn * 3 % 23) * MIB + 100)
        if turn % 3 == 2:
            shutil.move(image, house.source / "moved")
            shutil.move(house.source / "moved", image)
        stored(house)
        assert newest(house)[1]
    names = {item.stored.name for item in house.catalog().listed}
    assert len(names) < 13
    is_whole(house)
