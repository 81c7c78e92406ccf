"""Messages for full and read-only disks, compared with a golden file, and no files left behind."""

from pathlib import Path

import pytest

from tests.helpers.disks import disk
from tests.helpers.house import House
from tests.helpers.transcript import check_golden, seen
from tests.helpers.trees import fill, noise

GOLDEN = Path(__file__).parent / "golden" / "messages_disks.txt"
SIZE = 1 << 20


def a_destination_that_is_full(house):
    fill(house.source, {"a": noise(SIZE)})
    with disk(house.stores["local"], "size=256k"):
        yield seen(house, "backup", "svc")
        assert not [file for file in house.stores["local"].rglob("*") if file.is_file()]
    yield seen(house, "backup", "svc")
    yield seen(house, "restore", "svc", "--to", "out", "--yes")


def a_destination_that_is_read_only(house):
    fill(house.source, {"a": noise(SIZE)})
    house.backed_up()
    with disk(house.root / "other", "ro"):
        text = house.config_file.read_text()
        house.config_file.write_text(text.replace("store/local", "other"))
        yield seen(house, "backup", "svc")
        yield seen(house, "check", "--connect")


def a_spool_that_is_full(house):
    fill(house.source, {"a": noise(SIZE)})
    with disk(house.state / "spool", "size=512k"):
        yield seen(house, "backup", "svc")
        text = house.config_file.read_text()
        house.config_file.write_text(text + "spool: {min_free: 0}\n")
        yield seen(house, "backup", "svc")
        assert not [file for file in (house.state / "spool").rglob("*") if file.is_file()]
    yield seen(house, "list")


def a_target_without_room(house):
    fill(house.source, {"a": b"1", "b": noise(SIZE)})
    house.backed_up()
    with disk(house.root / "small", "size=64k"):
        yield seen(house, "restore", "svc", "--to", "small/out", "--yes")


def a_target_that_is_read_only(house):
    fill(house.source, {"a": b"1"})
    house.backed_up()
    with disk(house.root / "small", "ro"):
        yield seen(house, "restore", "svc", "--to", "small", "--yes")
        yield seen(house, "restore", "svc", "--to", "small/out", "--yes")


def a_state_that_is_read_only(house):
    fill(house.source, {"a": b"1"})
    house.backed_up()
    with disk(house.state, "ro"):
        yield seen(house, "backup", "svc")
        yield seen(house, "verify", "--deep")
        yield seen(house, "restore", "svc", "--to", "out", "--yes")


def a_state_that_is_full(house):
    fill(house.source, {"a": b"1"})
    house.backed_up()
    with disk(house.state, "size=64k") as full:
        (full / "ballast").write_bytes(b"x" * (64 << 10))
        yield seen(house, "restore", "svc", "--to", "out", "--yes")


CASES = [
    a_destination_that_is_full,
    a_destination_that_is_read_only,
    a_spool_that_is_full,
    a_target_without_room,
    a_target_that_is_read_only,
    a_state_that_is_read_only,
    a_state_that_is_full,
]


@pytest.mark.root
@pytest.mark.parametrize("case", CASES, ids=lambda case: case.__name__)
def test_messages_about_disks_equal_the_golden_file(case, tmp_path):
    """A full or read-only disk causes no traceback, and leaves no unfinished files behind."""
    said = "".join(case(House(tmp_path)))
    check_golden(GOLDEN, case.__name__.replace("_", " "), said)
