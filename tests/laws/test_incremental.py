"""Unchanged files cost nothing, however many there are."""

import os
import shutil

import pytest

from tests.helpers.house import House
from tests.helpers.needs import need
from tests.helpers.sampling import daily
from tests.helpers.trees import noise, settle

MIB = 1 << 20


@pytest.fixture(scope="module", params=daily([10_000, 50_000], [10_000]))
def large(tmp_path_factory, request):
    """House with so many files and one backup of them."""
    house = House(tmp_path_factory.mktemp("large"))
    for folder in range(request.param // 100):
        os.makedirs(house.source / f"f{folder:03}")
        for number in range(100):
            with open(house.source / f"f{folder:03}" / f"{number:02}.leaf", "wb") as file:
                file.write(noise(300, folder * 100 + number))
    (house.source / "mega").write_bytes(noise(MIB, 1))
    settle()
    house.backed_up()
    return house


def stored(house):
    return house.backed_up().stat().st_size


@pytest.mark.thorough
def test_nothing_changed_opens_no_file_and_stores_next_to_nothing(large, request):
    """An unchanged run opens no file of the source, and stores at most 64 KiB."""
    trace = large.root / "trace"
    wrap = (
        need("strace"),
        "-f",
        "-o",
        str(trace),
        "-e",
        "trace=open,openat,openat2",
    )
    [result] = large.json("backup", "svc", wrap=wrap)
    files = request.node.callspec.params["large"] + 1
    assert (result["status"], result["read"], result["files"]) == ("done", 0, files)
    assert result["stored"] <= 64 << 10
    opened = [line for line in trace.read_text().splitlines() if ".leaf" in line or "mega" in line]
    assert opened == []
    trace.unlink()


def test_one_changed_file_stores_little_more_than_itself(large):
    """One 1 MiB file changed: at most 1.3 MiB stored."""
    (large.source / "mega").write_bytes(noise(MIB, 2))
    assert stored(large) <= 1.3 * MIB


def test_a_renamed_folder_is_not_stored_again(large):
    """The content of a renamed folder is known by its chunks."""
    os.rename(large.source / "f050", large.source / "renamed")
    [result] = large.json("backup", "svc")
    assert result["stored"] <= 128 << 10
    os.rename(large.source / "renamed", large.source / "f050")


def test_a_lost_state_folder_costs_no_storage(large):
    """With the state folder deleted, the next run is still incremental."""
    settle()
    large.backed_up()  # files younger than 2 s in the last pass are read once more
    shutil.rmtree(large.state)
    [result] = large.json("backup", "svc")
    assert (result["kind"], result["read"]) == ("incremental", 0)


def test_full_refers_to_nothing(large):
    """`--full` makes an archive that can be restored without any other."""
    archive = large.backed_up(full=True)
    [item] = [item for item in large.catalog().listed if item.stored.name == archive.name]
    assert item.summary.kind == "full"
    assert item.summary.archives == []


@pytest.mark.parametrize("size", [256, 1024])
@pytest.mark.thorough
def test_a_large_file_stores_what_was_added(house, size):
    """1 MiB appended to a file, and 1 MiB inserted in its middle: at most 8 MiB each."""
    file = house.source / "disk.img"
    with open(file, "wb") as image:
        image.writelines(noise(16 * MIB, number) for number in range(size // 16))
    house.backed_up()
    with open(file, "ab") as image:
        image.write(noise(MIB, 77))
    assert stored(house) <= 8 * MIB
    with open(file, "r+b") as image:
        image.seek(size // 2 * MIB + 12_345)
        rest = image.read()
        image.seek(size // 2 * MIB + 12_345)
        image.write(noise(MIB, 78) + rest)
    assert stored(house) <= 8 * MIB
