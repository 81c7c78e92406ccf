"""`packrat rekey` on a bare machine, with headers forged at a destination."""

import os
import subprocess
import sys
import time
from dataclasses import replace

import pytest

from tests.helpers.house import PASSWORD, House
from tests.helpers.terminal import plain, status, terminal
from tests.helpers.trees import fill
from tests.vectors.make import RECIPIENT
from vault.archive.derivation import MIB_IN_KIB, Derivation
from vault.archive.header import Header
from vault.archive.key_file import read_key_file, write_key_file
from vault.archive.keys import Keys
from vault.archive.slots import PasswordSlot, RecipientSlot

PROGRAM = [sys.executable, "-m", "packrat"]


def plant(house, count, memory, passes, *, commitment=None, salt=None):
    """Write headers of another key, newer than all archives; return their files."""
    planted = []
    for number in range(count):
        archive = os.urandom(16)
        derivation = Derivation(salt or os.urandom(16), memory, passes, 4)
        slot = PasswordSlot(derivation, os.urandom(60))
        name = f"svc-2099{number % 12 + 1:02}01T000000Z-{archive[:4].hex()}.packrat"
        file = house.store / name
        file.write_bytes(Header(archive, commitment or os.urandom(32), (slot,)).packed)
        planted.append(file)
    return planted


@pytest.fixture
def bare(tmp_path):
    """A house with one backup, whose key file is lost."""
    house = House(tmp_path)
    fill(house.source, {"a": b"1"})
    house.backed_up()
    house.key = read_key_file(str(house.key_file))
    house.key_file.unlink()
    return house


def rekey(house, *wrap, password=PASSWORD):
    return house.cli("rekey", "--password-file", house.password_file(password), wrap=wrap)


def test_a_planted_header_is_what_packrat_would_read(bare):
    """Otherwise the tests below would prove nothing."""
    [planted] = plant(bare, 1, 64 * MIB_IN_KIB, 1)
    header = Header.unpack(planted.read_bytes(), "planted")
    assert header.password_slots[0].derivation.memory == 64 * MIB_IN_KIB


def test_a_costly_header_is_skipped_and_the_true_key_is_found(bare):
    """A derivation with 4 GiB and 16 passes would take hours."""
    plant(bare, 5, 4096 * MIB_IN_KIB, 16)
    begun = time.monotonic()
    done = rekey(bare)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < 30
    assert read_key_file(str(bare.key_file)) == bare.key


def test_the_true_header_comes_before_planted_ones(bare):
    """The planted ones are small or from the future, so no key is derived from them."""
    plant(bare, 40, 256 * MIB_IN_KIB, 3)
    done = rekey(bare)
    assert done.returncode == 0, done.stderr
    assert "Key 2 of" not in done.stderr


def test_a_header_with_the_commitment_of_the_true_key_does_not_hide_it(bare):
    """The commitment is readable in every archive; the salt beside its like was once trusted."""
    plant(bare, 3, 64 * MIB_IN_KIB, 1, commitment=bare.key.commitment)
    assert rekey(bare).returncode == 0
    assert read_key_file(str(bare.key_file)) == bare.key


def test_a_key_that_only_costly_headers_name_is_not_tried_without_asking(bare):
    for archive in bare.archives:
        archive.unlink()
    plant(bare, 1, 2048 * MIB_IN_KIB, 1)
    done = rekey(bare)
    assert done.returncode == 7
    assert "costlier key derivation" in done.stderr
    assert "run packrat rekey on a terminal" in done.stderr
    assert not bare.key_file.exists()


def test_on_a_terminal_a_costly_header_is_tried_after_a_question(bare):
    for archive in bare.archives:
        archive.unlink()
    plant(bare, 1, 1100 * MIB_IN_KIB, 1)
    child = terminal(bare, "rekey")
    child.expect("Password:")
    child.sendline(PASSWORD)
    child.expect(r"Try it anyway\? \[y/N\]")
    child.sendline("n")
    assert status(child) == 7
    assert "nothing was written" in " ".join(plain(child.before).split())


def test_a_machine_without_the_memory_says_so_and_tries_the_next(bare):
    """HashingError was once an unexpected error."""
    plant(bare, 1, 500 * MIB_IN_KIB, 1)
    [planted] = bare.store.glob("*2099*")
    with planted.open("ab") as file:  # plausible by size and time
        file.truncate(5000)
    planted.rename(bare.store / planted.name.replace("20990101", "20260101"))
    for archive in bare.archives[1:]:
        archive.unlink()
    line = f"ulimit -v 600000; exec {' '.join(PROGRAM)} -c {bare.config_file} rekey"
    words = ["bash", "-c", f"{line} --password-file {bare.password_file()}"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert "cannot be derived with 500 MiB of memory" in done.stderr


def test_progress_is_shown_when_there_are_several_keys(bare):
    for archive in bare.archives:
        archive.unlink()
    plant(bare, 3, 64 * MIB_IN_KIB, 1)
    done = rekey(bare)
    assert done.returncode == 7
    assert "Key 2 of 2" in done.stderr or "Key 3 of 3" in done.stderr


def test_a_restore_does_not_pay_for_a_costly_header_either(bare):
    plant(bare, 1, 4096 * MIB_IN_KIB, 16)
    assert rekey(bare).returncode == 0
    [planted] = bare.store.glob("*2099*")
    backup = planted.name.rpartition("-")[2].removesuffix(".packrat")
    password = bare.password_file()
    begun = time.monotonic()
    done = bare.cli("restore", "svc", "--backup", backup, "--to", str(bare.root / "out"),
                    "--yes", "--password-file", password)  # fmt: skip
    assert done.returncode in (4, 7), done.stderr
    assert time.monotonic() - begun < 30


@pytest.mark.parametrize("folder", ["new/deep", "."])
def test_the_key_files_folder_is_synced(tmp_path, monkeypatch, folder):
    """Otherwise a power cut may lose the key file."""
    synced = []
    fsync = os.fsync

    def record(fd):
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", record)
    at = tmp_path / folder / "key"
    keys = Keys.create("password", Derivation(b"sixteen of salt.", 64 * MIB_IN_KIB, 1, 1))
    write_key_file(str(at), keys)
    assert os.path.realpath(at.parent) == synced[-1]
    if folder == "new/deep":
        assert {str(tmp_path), str(tmp_path / "new")} <= set(synced)


def test_slots_of_a_header_that_no_archive_proves_are_not_taken_over(bare):
    """Anyone who can write to a destination can put another slot into a copy of a header."""
    true = Header.unpack(bare.archives[0].read_bytes(), "x")
    forged = Header(os.urandom(16), true.commitment, (*true.slots, RecipientSlot(b"mine")))
    name = f"svc-20990101T000000Z-{forged.archive_id[:4].hex()}.packrat"
    (bare.store / name).write_bytes(forged.packed + bytes(5000))
    assert rekey(bare).returncode == 0
    assert read_key_file(str(bare.key_file)).slots == true.slots


def test_the_slots_of_other_recipients_are_kept(bare):
    """A key file that is made again still lets the same recipients open what is backed up."""
    slots = (*bare.key.slots, RecipientSlot.make(RECIPIENT, bare.key.master))
    write_key_file(str(bare.key_file), replace(bare.key, slots=slots))
    bare.backed_up()
    bare.key_file.unlink()
    assert rekey(bare).returncode == 0
    assert read_key_file(str(bare.key_file)).slots == slots
