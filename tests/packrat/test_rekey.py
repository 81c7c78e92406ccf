"""`packrat rekey` on a bare machine, with headers forged at a destination."""

import hashlib
import os
import struct
import subprocess
import sys
import time

import pytest

from tests.helpers.house import PASSWORD, House
from tests.helpers.terminal import plain, status, terminal
from tests.helpers.trees import fill
from vault.archive.format import Header
from vault.archive.keys import MIB, Derivation, read_key_file

PROGRAM = [sys.executable, "-m", "packrat"]


def plant(house, count, memory, passes, *, key_id=None, salt=None):
    """Write headers of another key, newer than all archives; return their files."""
    planted = []
    for number in range(count):
        archive = os.urandom(16)
        head = struct.pack(
            ">8sHH16s8s16sIII",
            b"PACKRAT\n", VERSION, 72, archive, key_id or os.urandom(8),
            salt or os.urandom(16), memory, passes, 4,
        )  # fmt: skip
        name = f"svc-2099{number % 12 + 1:02}01T000000Z-{archive[:4].hex()}.packrat"
        file = house.store / name
        file.write_bytes(head + hashlib.sha256(head).digest()[:8])
        planted.append(file)
    return planted


VERSION = 1


@pytest.fixture
def bare(tmp_path):
    """A house with one backup, whose key file is lost."""
    house = House(tmp_path)
    fill(house.source, {"a": b"1"})
    real = house.backed_up()
    global VERSION  # noqa: PLW0603 (of the current format)
    VERSION = struct.unpack(">H", real.read_bytes()[8:10])[0]
    house.key = read_key_file(str(house.key_file))
    house.key_file.unlink()
    return house


def rekey(house, *wrap, password=PASSWORD):
    return house.cli("rekey", "--password-file", house.password_file(password), wrap=wrap)


def test_a_planted_header_is_what_packrat_would_read(bare):
    """Otherwise the tests below would prove nothing."""
    [planted] = plant(bare, 1, 64 * MIB, 1)
    header = Header.unpack(planted.read_bytes(), "planted")
    assert header.derivation.memory == 64 * MIB


def test_a_costly_header_is_skipped_and_the_true_key_is_found(bare):
    """A derivation with 4 GiB and 16 passes would take hours."""
    plant(bare, 5, 4096 * MIB, 16)
    begun = time.monotonic()
    done = rekey(bare)
    assert done.returncode == 0, done.stderr
    assert time.monotonic() - begun < 30
    assert read_key_file(str(bare.key_file)) == bare.key


def test_the_true_header_comes_before_planted_ones(bare):
    """The planted ones are small or from the future, so no key is derived from them."""
    plant(bare, 40, 256 * MIB, 3)
    done = rekey(bare)
    assert done.returncode == 0, done.stderr
    assert "Key 2 of" not in done.stderr


def test_a_header_with_the_id_of_the_true_key_does_not_hide_it(bare):
    """The id is readable in every archive; the salt beside it was once trusted."""
    plant(bare, 3, 64 * MIB, 1, key_id=bare.key.key_id)
    assert rekey(bare).returncode == 0
    assert read_key_file(str(bare.key_file)) == bare.key


def test_a_key_that_only_costly_headers_name_is_not_tried_without_asking(bare):
    for archive in bare.archives:
        archive.unlink()
    plant(bare, 1, 2048 * MIB, 1)
    done = rekey(bare)
    assert done.returncode == 7
    assert "costlier key derivation" in done.stderr
    assert "run packrat rekey on a terminal" in done.stderr
    assert not bare.key_file.exists()


def test_on_a_terminal_a_costly_header_is_tried_after_a_question(bare):
    for archive in bare.archives:
        archive.unlink()
    plant(bare, 1, 1100 * MIB, 1)
    child = terminal(bare, "rekey")
    child.expect("Password:")
    child.sendline(PASSWORD)
    child.expect(r"Try it anyway\? \[y/N\]")
    child.sendline("n")
    assert status(child) == 7
    assert "nothing was written" in plain(child.before)


def test_a_machine_without_the_memory_says_so_and_tries_the_next(bare):
    """HashingError was once an unexpected error."""
    plant(bare, 1, 500 * MIB, 1)
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
    plant(bare, 3, 64 * MIB, 1)
    done = rekey(bare)
    assert done.returncode == 7
    assert "Key 2 of 2" in done.stderr or "Key 3 of 3" in done.stderr


def test_a_restore_does_not_pay_for_a_costly_header_either(bare):
    plant(bare, 1, 4096 * MIB, 16)
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
    from vault.archive.keys import write_key_file

    synced = []
    fsync = os.fsync

    def record(fd):
        synced.append(os.readlink(f"/proc/self/fd/{fd}"))
        fsync(fd)

    monkeypatch.setattr(os, "fsync", record)
    at = tmp_path / folder / "key"
    write_key_file(str(at), Derivation(b"sixteen of salt.", 64 * MIB, 1, 1).keys("password"))
    assert os.path.realpath(at.parent) == synced[-1]
    if folder == "new/deep":
        assert {str(tmp_path), str(tmp_path / "new")} <= set(synced)
