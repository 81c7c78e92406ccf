"""Backups mounted through FUSE, read by the programs that people use."""

import os
import shutil
import signal
import subprocess
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.helpers.command_line import PROGRAM
from tests.helpers.house import House
from tests.helpers.needs import lacks, need
from tests.helpers.trees import digest, fill, noise

pytestmark = pytest.mark.root  # to set owners, and to mount without a setuid helper


@contextmanager
def mounted(house, *words):
    """Mount the backups; yield the folder and the process."""
    need("fusermount3", "apt install fuse3 libfuse3-3")
    if not os.path.exists("/dev/fuse"):
        lacks("needs /dev/fuse: run with --device /dev/fuse --cap-add SYS_ADMIN")
    folder = house.root / "mount"
    folder.mkdir(exist_ok=True)
    command = [*PROGRAM, "-c", str(house.config_file), "mount", str(folder), *words]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        while not os.path.ismount(folder):
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.02)
        yield folder, process
    finally:
        subprocess.run(["umount", "-l", folder], check=False, stderr=subprocess.DEVNULL)
        process.kill()
        process.wait()
        process.stderr.close()


def newest(folder):
    return folder / "svc" / max(os.listdir(folder / "svc"))


@pytest.fixture
def house(tmp_path):
    """Every type of file, with owners, modes, attributes, links, a hole and a wrong name."""
    house = House(tmp_path)
    at = house.source
    fill(at, {f"many/{n % 7}/{n}": b"%d" % n for n in range(300)})
    fill(at, {"private/key": b"k", "large": noise(9 << 20), "one": b"1"})
    (at / "link").symlink_to("one")
    os.link(at / "one", at / "two")
    os.mkfifo(at / "fifo")
    with (at / "sparse").open("wb") as file:
        file.seek(3_000_000)
        file.write(b"middle")
        file.truncate(9_000_000)
    (at / os.fsdecode(b"\xff name")).write_bytes(b"not UTF-8")
    os.setxattr(at / "one", "user.note", b"kept")
    os.chown(at / "private", 999, 998)
    os.chmod(at / "private", 0o700)
    os.chmod(at / "private/key", 0o4600)
    os.utime(at / "one", ns=(1, 123_456_789_123_456_789))
    house.backed_up()
    return house


def test_a_mounted_backup_equals_a_restored_one(house):
    """Also the attributes that a copy takes over: tar finds no difference."""
    restored = house.restore("restored")
    with mounted(house) as (folder, _):
        assert os.listdir(folder) == ["svc"]
        backup = newest(folder)
        done = subprocess.run(
            ["diff", "-r", "--no-dereference", restored, backup], capture_output=True, check=False
        )
        # diff says of two equal fifos that it cannot compare them
        assert [line for line in done.stdout.splitlines() if b"fifo" not in line] == []
        assert done.stderr == b""
        archive = house.root / "all.tar"
        subprocess.run(["tar", "--xattrs", "-cf", archive, "-C", restored, "."], check=True)
        done = subprocess.run(
            ["tar", "--xattrs", "-df", archive, "-C", backup], capture_output=True, check=False
        )
        assert done.stdout == b"", done.stdout
        one, two = os.stat(backup / "one"), os.stat(backup / "two")
        assert (one.st_ino, one.st_mtime_ns) == (two.st_ino, 123_456_789_123_456_789)
        assert os.getxattr(backup / "one", "user.note") == b"kept"
        assert os.stat(backup / "sparse").st_blocks * 512 < 4_000_000
        with pytest.raises(OSError, match="Read-only"):
            (backup / "one").write_bytes(b"2")
        with pytest.raises(OSError, match="No such file"):
            os.stat(folder / "svc" / "latest")


def test_file_modes_hold_for_other_users_only_if_they_are_let_in(house):
    """Without --allow-other nobody else enters; with it, the modes that are stored decide."""

    def as_nobody(path):
        words = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups", "cat", path]
        done = subprocess.run(words, capture_output=True, check=False)
        return done.stdout if done.returncode == 0 else None

    house.root.parent.chmod(0o755)
    for above in [house.root, *house.root.parents][:4]:
        above.chmod(0o755)
    with mounted(house) as (folder, _):
        assert as_nobody(newest(folder) / "one") is None
    with mounted(house, "--allow-other") as (folder, _):
        assert as_nobody(newest(folder) / "one") == b"1"
        assert as_nobody(newest(folder) / "private/key") is None


def test_two_mounted_backups_are_compared_byte_by_byte(house):
    """diff takes two files of one inode number for the same file, and reads neither."""
    os.utime(house.source / "one", ns=(1, 1))
    stat = os.stat(house.source / "large")
    with (house.source / "large").open("r+b") as file:
        file.write(b"other")
    os.utime(house.source / "large", ns=(1, stat.st_mtime_ns))
    time.sleep(1.05)
    house.backed_up()
    with mounted(house) as (folder, _):
        one, two = sorted((folder / "svc").iterdir())
        done = subprocess.run(
            ["diff", "-rq", one, two], capture_output=True, text=True, check=False
        )
        assert f"Files {one}/large and {two}/large differ" in done.stdout


@pytest.mark.thorough
def test_many_readers_at_once_read_the_right_bytes(house):
    wanted = digest(house.source / "large")
    with mounted(house) as (folder, process):
        command = ["sha256sum", newest(folder) / "large"]
        readers = [subprocess.Popen(command, stdout=subprocess.PIPE) for _ in range(100)]
        assert {reader.communicate()[0].split()[0].decode() for reader in readers} == {wanted}
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert int(status.split("VmHWM:")[1].split()[0]) < 400_000  # KiB


def test_a_destination_that_goes_away_is_an_input_error_and_not_a_hang(house):
    """The mount stays, and reads again when the destination is back."""
    with mounted(house) as (folder, process):
        backup = newest(folder)
        assert (backup / "one").read_bytes() == b"1"
        house.store.rename(house.root / "away")
        with pytest.raises(OSError, match="Input/output"):
            (backup / "large").read_bytes()
        (house.root / "away").rename(house.store)
        assert (backup / "large").read_bytes() == (house.source / "large").read_bytes()
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0
        assert not os.path.ismount(folder)
        assert "warning: " in process.stderr.read()


def test_a_folder_that_is_not_empty_is_refused(house):
    done = house.cli("mount", str(house.source))
    assert done.returncode == 2
    assert "is not an empty folder" in done.stderr


@pytest.mark.thorough
def test_a_copy_from_a_mount_takes_at_most_twice_as_long_as_a_restore(tmp_path):
    house = House(tmp_path)
    fill(house.source, {"large": noise(200_000_000)})
    house.backed_up()
    times = []
    for n in range(2):
        begun = time.monotonic()
        done = house.cli("restore", "svc", "--to", str(tmp_path / f"out{n}"), "--yes", wrap=())
        times.append(time.monotonic() - begun)
        assert done.returncode == 0
    copies = []
    for _ in range(2):
        with mounted(house) as (folder, _):
            begun = time.monotonic()
            shutil.copyfile(newest(folder) / "large", tmp_path / "copy")
            copies.append(time.monotonic() - begun)
    assert digest(tmp_path / "copy") == digest(house.source / "large")
    assert min(copies) < 2 * min(times), (copies, times)
