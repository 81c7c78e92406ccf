"""Unchanged files: nothing that was written to, however it was written."""

import mmap
import os
import time
from collections import Counter

import pytest

from engine.run import Clock
from packrat.restore.choose import choose
from packrat.restore.opened import OpenedBackup
from tests.helpers.house import House
from tests.helpers.restoring import restore
from tests.helpers.trees import differences, fill, noise, settle
from vault.archive.header import HEADER_LEAST
from vault.store.local import Local

LATER = Clock(now=lambda: time.time_ns() + 10**10)
PAGE = mmap.PAGESIZE


def newest(house, path):
    """Return a file's content in the newest backup."""
    out = house.restore(f"out/{time.monotonic_ns()}", "latest", path)
    return (out / path).read_bytes()


def write_page(page, letter):
    page[:PAGE] = letter * PAGE


def test_a_page_written_through_a_mapping_is_in_the_next_backup(house):
    """A database that writes through mmap before and after a backup gets its new page stored.

    The kernel stamps a file when a clean page becomes writable, not at every write: without the
    `syncfs` that begins a pass, the second write would leave the times as they were.
    """
    path = house.source / "database"
    fill(house.source, {"database": bytes(4 * PAGE), "other": b"x"})
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as page:
        write_page(page, b"1")
        settle()
        house.backed_up()
        assert newest(house, "database")[:PAGE] == b"1" * PAGE
        write_page(page, b"2")
        house.backed_up()
        assert newest(house, "database")[:PAGE] == b"2" * PAGE
        settle()
        write_page(page, b"3")
        house.backed_up()
        assert newest(house, "database")[:PAGE] == b"3" * PAGE


def test_a_file_younger_than_the_barrier_is_read_again(house):
    """A write in the tick of the read leaves the times as they are: young files are reread."""
    fill(house.source, {"young": b"x" * 1000})
    house.backed_up()
    assert house.back_up().read == 1000
    settle()
    assert house.back_up().read == 1000  # the recording pass was too young
    assert house.back_up().read == 0


def test_same_size_and_mtime_do_not_hide_a_change(house):
    """Setting the mtime back changes the ctime; replacing a file changes the inode."""
    fill(house.source, {"a": b"first", "b": b"first"})
    assert house.back_up(clock=LATER).status == "done"
    found = (house.source / "a").stat()
    time.sleep(0.02)
    (house.source / "a").write_bytes(b"other")
    (house.source / "b2").write_bytes(b"other")
    for name in ("a", "b2"):
        os.utime(house.source / name, ns=(found.st_atime_ns, found.st_mtime_ns))
    os.replace(house.source / "b2", house.source / "b")
    assert house.back_up(clock=LATER).read == 10
    assert newest(house, "a") == newest(house, "b") == b"other"


def test_metadata_of_a_file_is_compared(house):
    """A new mode, owner or attribute, without new content, is in the next backup."""
    fill(house.source, {"a": b"same"})
    assert house.back_up(clock=LATER).status == "done"
    time.sleep(0.02)
    (house.source / "a").chmod(0o711)
    os.setxattr(house.source / "a", "user.note", b"new")
    result = house.back_up(clock=LATER)
    assert result.stored < 3000
    assert differences(house.source, house.restore()) == []


@pytest.mark.thorough
def test_each_needed_segment_is_read_once_after_sixty_runs(tmp_path, monkeypatch):
    """A full restore after 60 changed runs reads every data segment that it needs exactly once."""
    house = House(tmp_path)
    fill(house.source, {f"d{n % 20:02}/{n:04}": noise(3000, n) for n in range(2000)})
    assert house.back_up(clock=LATER).status == "done"
    for run in range(60):
        changed = {
            f"d{n % 20:02}/{n:04}": noise(3000, run * 7919 + n) for n in range(run, 2000, 97)
        }
        fill(house.source, changed)
        time.sleep(0.01)
        assert house.back_up(clock=LATER).status == "done"
    program = house.program
    chosen = choose(program, "svc")
    frames, names = {}, {}
    for item in house.catalog().listed:
        names[item.summary.id] = item.stored.name
        archive = house.catalog().open(item.stored.name, program.keys)
        for number, (offset, length) in enumerate(archive.frames, 2):
            kind, _ = archive.any_frame(number)
            frames[item.stored.name, number] = (kind, offset, offset + length)
    opened = OpenedBackup("svc", chosen, program.keys)
    needed = {(names[c[1]], c[2]) for entry in opened.entries() for c in entry.chunks}
    assert len({name for name, _ in needed}) > 1, "renewal has replaced most, but not all"
    reads = []
    original = Local.read

    def read(self, service, name, offset, length, *check):
        reads.append((name, offset, offset + length))
        return original(self, service, name, offset, length, *check)

    monkeypatch.setattr(Local, "read", read)
    restored = restore(program, "svc", chosen, [], str(house.root / "out"))
    assert differences(house.source, house.root / "out") == []
    ranges = [one for one in reads if one[1] >= HEADER_LEAST and not is_tail(house, one)]
    often = {
        (name, number): sum(r[0] == name and r[1] <= start and end <= r[2] for r in ranges)
        for (name, number), (kind, start, end) in frames.items()
        if kind == b"d"
    }
    assert {often[one] for one in needed} == {1}
    assert set(often.values()) <= {0, 1}
    read_bytes = sum((frames[one][2] - frames[one][1]) * count for one, count in often.items())
    assert restored.downloaded < 1.05 * read_bytes
    # Header, tail and index of an archive share blocks with its segments at their boundaries.
    blocks = Counter(
        (name, at) for name, *place in reads for at in range(*(b // 512 for b in place))
    )
    assert max(blocks.values()) <= 3
    assert blocks.total() * 512 < 1.5 * sum(path.stat().st_size for path in house.archives)


def is_tail(house, read):
    """Return whether a read opens an archive: its last 64 KiB, or all of a small one."""
    name, start, end = read
    size = (house.store / name).stat().st_size
    return end == size and start == max(0, size - (64 << 10))
