"""Messages about a damaged backup: it is listed, and each message has a next step."""

import re
import shutil

import pytest

from tests.helpers.house import House, cheap_keys
from tests.helpers.trees import fill, noise
from vault.archive.format import FIRST_SEGMENT


def damage(archive, at):
    """Flip one byte at a fraction of the file."""
    data = bytearray(archive.read_bytes())
    data[int(len(data) * at)] ^= 0xFF
    archive.write_bytes(data)


@pytest.fixture
def hurt(tmp_path):
    """A service whose only backup is damaged in the middle, and was verified."""
    house = House(tmp_path)
    fill(house.source, {"good": noise(3 << 20, 1), "lost": noise(3 << 20, 2)})
    house.backed_up()
    damage(house.archives[0], 0.5)
    return house


def test_a_damaged_only_backup_is_listed_as_damaged(hurt):
    """It was once called "no backups under this key", although the key was right."""
    id_ = hurt.archives[0].stem[-8:]
    assert hurt.cli("verify", "--deep").returncode == 4
    listed = hurt.cli("list")
    assert re.search(rf"^svc +{id_} .* local \(damaged\)$", listed.stdout, re.MULTILINE), listed
    assert "key" not in listed.stdout
    assert hurt.json("list") == [], "scripts see what can be restored"
    [row] = hurt.json("list", "--all")
    assert (row["id"], row["damaged"], row["destinations"]) == (id_, ["local"], [])


def test_an_archive_that_cannot_be_opened_is_not_called_foreign(tmp_path):
    house = House(tmp_path)
    fill(house.source, {"a": b"1"})
    house.backed_up()
    house.forget()
    house.archives[0].write_bytes(house.archives[0].read_bytes()[:-50])
    said = house.cli("list").stdout
    assert said.startswith("no backups without damage at local (")


def test_verify_says_what_to_do_about_damage(hurt):
    """The advice works: the first command saves the good files, the second repairs the backup."""
    id_ = hurt.archives[0].stem[-8:]
    last = hurt.cli("verify", "--deep").stdout.splitlines()[-1]
    assert f"svc {id_}: packrat backup svc makes a new backup" in last
    assert f"packrat restore svc --backup {id_} --to DIR restores what is still good" in last
    out = hurt.root / "out"
    saved = hurt.cli("restore", "svc", "--backup", id_, "--to", str(out), "--yes")
    assert saved.returncode == 5, saved.stderr
    assert (out / "good").read_bytes() == noise(3 << 20, 1)
    assert "lost" in saved.stderr
    assert hurt.cli("backup", "svc").returncode == 0
    shutil.rmtree(out)
    assert hurt.cli("restore", "svc", "--to", str(out), "--yes").returncode == 0
    assert (out / "lost").read_bytes() == noise(3 << 20, 2)


def test_verify_names_the_destination_that_is_still_good(tmp_path):
    house = House(tmp_path, ("one", "two"), verify={"deep_percent": 100})
    fill(house.source, {"a": noise(3 << 20, 1)})
    house.backed_up()
    damage(house.archives[0], 0.5)
    id_ = house.archives[0].stem[-8:]
    last = house.cli("verify", "--deep").stdout.splitlines()[-1]
    assert last == (
        f"svc {id_} is good at two, and restores read it there."
        " packrat verify --due replaces the damaged file."
    )
    assert house.cli("verify", "--due").returncode == 5
    assert house.cli("verify", "--deep").returncode == 0


def test_ls_and_restore_do_not_send_the_user_in_a_circle(house):
    """Each names a way that does not end at the other: a new backup."""
    fill(house.source, {"a": b"1"})
    archive = house.backed_up()
    opened = house.catalog().open(archive.name, cheap_keys())
    offset, _ = opened.position(FIRST_SEGMENT + len(opened.frames) - 1)
    data = bytearray(archive.read_bytes())
    data[offset + 20] ^= 1  # the frame with the list of files
    archive.write_bytes(data)
    house.cli("verify", "--deep")
    out = ("--to", str(house.root / "out"), "--yes")
    id_ = archive.stem[-8:]
    for words in (
        ("ls", "svc"),
        ("restore", "svc", *out),
        ("restore", "svc", "--backup", id_, *out),
    ):
        said = house.cli(*words)
        assert said.returncode == 4, said
        assert re.search("packrat backup (svc )?makes a new one", said.stderr)


def test_quiet_verification_prints_only_what_is_wrong(hurt):
    said = hurt.cli("verify", "--deep", "--quiet")
    assert said.returncode == 4
    assert ": damaged," in said.stdout.splitlines()[0]
    assert hurt.cli("backup", "svc", "--quiet").stdout == ""
    rows = hurt.cli("verify", "--deep", "-q").stdout
    assert ": ok" not in rows
