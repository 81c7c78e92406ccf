"""Lists and verifications when a destination is away or lacks a backup."""

import errno
import os
import shutil

import pytest
import yaml

from stages.source.read import read_small
from tests.helpers.house import House
from tests.helpers.trees import fill, noise


@pytest.fixture
def house(tmp_path):
    """A backup at two destinations, and another service that goes to only one of them."""
    house = House(tmp_path, ("one", "two"))
    fill(house.source, {"a": noise(9000, 1)})
    document = yaml.safe_load(house.config_file.read_text())
    document["services"]["other"] = {"path": str(house.source), "destinations": ["two"]}
    house.config_file.write_text(yaml.safe_dump(document))
    house.json("backup", "--all")
    return house


def statuses(rows):
    return {(row["service"], row["destination"]): row["status"] for row in rows}


def test_a_service_whose_only_destination_is_away_hides_no_other(house):
    """Its destination is named, the others are listed and verified, the exit status is 5."""
    shutil.rmtree(house.stores["two"])
    [row] = house.json("list", status=5)
    assert (row["service"], row["destinations"]) == ("svc", ["one"])
    assert statuses(house.json("verify", status=5)) == {("svc", "one"): "ok"}
    assert house.cli("list", "other").returncode == 4


def test_a_destination_that_lacks_a_backup_is_a_row_of_verify(house):
    """The other destinations are verified, and other services need not have the backup."""
    newest = house.backed_up()
    os.unlink(house.stores["two"] / "svc" / newest.name)
    id_ = newest.name.rpartition("-")[2][:8]
    rows = house.json("verify", "--backup", id_, status=4)
    mine = [row for row in rows if row["id"] == id_]
    assert statuses(mine) == {("svc", "one"): "ok", ("svc", "two"): "missing"}
    assert {row["service"] for row in rows} == {"svc"}
    done = house.cli("verify", "--backup", "00000000")
    assert (done.returncode, done.stdout) == (4, "")
    assert "there is no backup '00000000'" in done.stderr


def test_a_damaged_backup_can_be_verified_again(house):
    """It can be named by its id again: an earlier verdict does not hide it."""
    [archive] = house.archives
    data = bytearray(archive.read_bytes())
    data[len(data) // 2] ^= 1
    archive.write_bytes(data)
    id_ = archive.name.rpartition("-")[2][:8]
    for backup in (id_, id_, "latest"):
        words = ("verify", "svc", "--from", "one", "--backup", backup, "--deep")
        assert statuses(house.json(*words, status=4)) == {("svc", "one"): "damaged"}


def test_a_backup_that_lacks_files_is_reported(house, monkeypatch):
    """In list, ls and restore; and retention keeps the last complete backup."""

    def broken(found, *report):
        if found.path == "b":
            raise OSError(errno.EIO, "Input/output error", found.path)
        return read_small(found, *report)

    whole = house.archives[-1]
    fill(house.source, {"b": noise(9000, 2)})
    with monkeypatch.context() as patch:
        patch.setattr("stages.source.reader.read_small", broken)
        assert house.back_up().status == "partial"
    newest = house.archives[-1]
    rows = house.json("list", "svc")
    assert [row["missed"] for row in rows] == [0, 1]
    text = f"when backup {rows[1]['id']} was made, 1 file could not be read"
    assert "(1 missed)" in house.cli("list", "svc").stdout
    assert text in house.cli("ls", "svc").stderr
    done = house.cli("restore", "svc", "--to", str(house.root / "out"), "--yes")
    assert (done.returncode, text in done.stderr) == (0, True), done.stderr
    retain_one(house)
    assert house.json("prune", "svc") == []
    assert house.archives == [whole, newest]


def retain_one(house):
    document = yaml.safe_load(house.config_file.read_text())
    document["backup"]["retain_backups"] = 1
    house.config_file.write_text(yaml.safe_dump(document))
