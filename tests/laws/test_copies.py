"""Damage at one destination: a restore reads the undamaged data from the next one."""

import os
import shutil

import pytest

from tests.helpers.house import House, header_size
from tests.helpers.trees import differences, fill, noise

FILES = {f"d/{n}": noise(1 << 20, n) for n in range(12)}


@pytest.fixture
def house(tmp_path):
    """Two destinations, and three archives of which the last refers to both others."""
    house = House(tmp_path, destinations=("local", "nas"))
    fill(house.source, FILES | {"b/one": b"1" * 5000, "b/two": b"2" * 5000})
    os.link(house.source / "d/0", house.source / "again")
    house.backed_up()
    for name in ("second", "third"):
        fill(house.source, {name: noise(200_000, len(name))})
        house.backed_up()
    return house


def archive(house, number, at="local"):
    """Return the file of an archive, counted from the oldest, at a destination."""
    return sorted((house.stores[at] / "svc").glob("*.packrat"))[number]


def flip(path, *places):
    """Flip a bit at some positions of a file."""
    data = bytearray(path.read_bytes())
    for place in places:
        data[place] ^= 1
    path.write_bytes(data)


def restored(house, *more, status=0):
    """Restore everything with the real program; return its document and its output."""
    out = house.root / "out"
    shutil.rmtree(out, ignore_errors=True)
    words = ("restore", "svc", "--to", str(out), "--yes", "--json", *more)
    return house.json(*words, status=status)


@pytest.mark.parametrize("number", [0, 2], ids=["base", "newest"])
@pytest.mark.parametrize("where", [0.0, 0.3, 0.7, 1.0])
def test_damaged_data_comes_from_the_next_destination(house, number, where):
    """One bit in a base or in the newest, anywhere: everything is restored, and it is reported."""
    path = archive(house, number)
    flip(path, int(where * (path.stat().st_size - 1)))
    document = restored(house)
    assert differences(house.source, house.root / "out") == []
    assert all("nas instead" in warning for warning in document["warnings"])
    assert (document["from"], len(document["warnings"])) in [("local", 1), ("nas", 0)]


def test_damage_at_other_places_of_each_destination_loses_nothing(house):
    """Each replica is damaged, but no frame in both: together they are complete."""
    size = archive(house, 0).stat().st_size
    flip(archive(house, 0), size // 5)
    flip(archive(house, 0, "nas"), size * 4 // 5)
    document = restored(house)
    assert differences(house.source, house.root / "out") == []
    assert "frame" in document["warnings"][0]


def test_an_archive_that_is_gone_or_cut_at_the_nearest_comes_from_the_next(house):
    """The nearest then has no such backup: the next destination that has it is used."""
    archive(house, 0).unlink()
    document = restored(house)
    assert document["from"] == "nas"
    assert differences(house.source, house.root / "out") == []


def test_a_destination_that_goes_away_meanwhile_is_replaced(house):
    """The file of a base vanishes after the backup was chosen: the other replica is used."""
    from packrat.restore.choose import choose
    from tests.helpers.restoring import restore

    program = house.program
    chosen = choose(program, "svc")
    assert chosen.catalog.destination.name == "local"
    shutil.rmtree(house.stores["local"])
    out = house.root / "out"
    done = restore(program, "svc", chosen, (), str(out))
    assert differences(house.source, out) == []
    assert (done.partial, done.lost) == (False, [])


def test_only_one_destination_is_asked_when_it_is_named(house):
    """`--from` uses only that one: files damaged there are lost, the others are restored."""
    path = archive(house, 0)
    flip(path, path.stat().st_size // 2)
    document = restored(house, "--from", "local", status=5)
    assert "cannot be restored" in document["warnings"][0]
    assert restored(house, "--from", "nas")["warnings"] == []


def test_data_without_a_good_replica_is_named_and_the_rest_restored(house):
    """The same frame damaged everywhere: exit 5, its files named, no part of them, the rest right.

    Once there is a good replica again, the same command fetches what is missing.
    """
    whole = archive(house, 0).read_bytes()
    for at in ("local", "nas"):
        flip(archive(house, 0, at), header_size(whole) + 28)
    out = house.root / "out"
    done = house.cli("restore", "svc", "--to", str(out), "--yes")
    assert done.returncode == 5
    assert "again" in done.stderr
    assert archive(house, 0).name in done.stderr
    lost = [name for name in [*FILES, "again", "b/one", "b/two"] if not (out / name).exists()]
    assert "again" in lost
    assert "d/0" in lost
    assert len(lost) < len(FILES)
    assert all(name in done.stderr for name in lost)
    assert all((out / n).read_bytes() == data for n, data in FILES.items() if n not in lost)
    good = [name for name in FILES if name not in lost]
    shutil.rmtree(house.root / "some", ignore_errors=True)
    words = ["restore", "svc", "--to", str(house.root / "some"), "--yes"]
    assert house.cli(*words, *[f"--path={name}" for name in good]).returncode == 0
    archive(house, 0, "nas").write_bytes(whole)
    again = house.json("restore", "svc", "--to", str(out), "--yes")
    assert differences(house.source, out) == []
    assert again["downloaded"] < len(whole) * 0.8


def test_an_incomplete_restore_in_place_changes_nothing(house):
    """Files that cannot be restored: exit 4, the files named, and everything as it was."""
    path = archive(house, 0)
    shutil.rmtree(house.stores["nas"])
    flip(path, path.stat().st_size // 2)
    fill(house.source, {"b/one": b"as it is now"})
    done = house.cli("restore", "svc", "--in-place", "--yes")
    assert done.returncode == 4
    assert "nothing was changed" in done.stderr
    assert "--to DIR" in done.stderr
    assert (house.source / "b/one").read_bytes() == b"as it is now"


def test_a_backup_found_damaged_is_restored_if_named(house):
    """`latest` never chooses a damaged backup; its id does, and loses what is damaged."""
    shutil.rmtree(house.stores["nas"])
    newest = archive(house, 2).stem[-8:]
    flip(archive(house, 2), 5000)
    assert house.cli("verify", "--deep").returncode == 4
    out = str(house.root / "out")
    done = house.cli("restore", "svc", "--to", out, "--yes")
    assert done.returncode == 0
    assert f"{newest}.packrat" in done.stderr
    assert "the latest is an older backup" in done.stderr
    assert not (house.root / "out" / "third").exists()
    document = restored(house, "--backup", newest, status=5)
    assert "third" in document["warnings"][0]
    assert document["files"] == len(FILES) + 4
