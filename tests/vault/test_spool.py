"""Spool: every reader sees every byte, at its own pace, while the file grows."""

import errno
import os
import threading
from pathlib import Path

import pytest

from tests.helpers.trees import noise
from vault import spool as spools
from vault.spool import Spool

NAME = "svc-20260101T000000Z-00112233.packrat"
GENEROUS = 1 << 40


def nothing():
    """Never end a wait."""


@pytest.fixture
def small_parts(monkeypatch):
    monkeypatch.setattr(spools, "PART_BYTES", 1000)
    monkeypatch.setattr(spools, "POLL_SECONDS", 0.01)


def new(folder, readers=("one",), max_size=GENEROUS, min_free=0):
    return Spool(str(folder), NAME, readers, max_size, min_free)


def append(spool, data):
    spool.grow(spool.write(spool.size, data), nothing)


def reader(spool, found, name="", steps=()):
    """Read everything in a thread; `steps` are semaphores to acquire before each part."""

    def read():
        got = bytearray()
        waits = iter(steps)
        for offset, length in spool.ranges(nothing):
            for step in [next(waits, None)]:
                if step:
                    step.acquire()
            assert offset == len(got)
            got += spool.read(offset, length)
            if name:
                spool.take(name, offset + length)
        found.append(bytes(got))

    thread = threading.Thread(target=read)
    thread.start()
    return thread


def test_every_reader_sees_everything_while_it_grows(tmp_path, small_parts):
    """Readers that begin before, during and after the writing all read the same bytes."""
    spool, found, data = new(tmp_path), [], noise(50_000)
    threads = [reader(spool, found)]
    for start in range(0, len(data), 777):
        append(spool, data[start : start + 777])
        if start == 777 * 20:
            threads.append(reader(spool, found))
    spool.finish()
    threads.append(reader(spool, found))
    for thread in threads:
        thread.join(10)
    assert found == [data] * 3
    assert spool.whole


def test_a_reader_is_given_only_what_is_there(tmp_path, small_parts):
    """No range reaches beyond what was announced, and none comes twice."""
    spool = new(tmp_path)
    append(spool, bytes(2500))
    ranges = spool.ranges(nothing)
    assert [next(ranges), next(ranges)] == [(0, 1000), (1000, 1000)]
    spool.finish()
    assert list(ranges) == [(2000, 500)]


def test_an_empty_spool_ends_at_once(tmp_path):
    """A finished file without content has no ranges."""
    spool = new(tmp_path)
    spool.finish()
    assert list(spool.ranges(nothing)) == []


def test_waiting_can_be_ended(tmp_path, small_parts):
    """`check` is called while a reader waits, and its exception is raised."""
    spool = new(tmp_path)

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        next(spool.ranges(stop))


def test_within_its_budget_all_of_it_stays(tmp_path, small_parts):
    """A sufficient budget punches no holes, whatever has been taken."""
    spool, data = new(tmp_path, max_size=100_000), noise(100_000)
    append(spool, data)
    spool.take("one", 100_000)
    spool.finish()
    assert spool.whole
    assert spool.read(0, 100_000) == data


def test_beyond_the_budget_the_writer_waits_for_the_slowest(tmp_path, small_parts, monkeypatch):
    """Data that every reader has taken is deleted; every reader still gets all of it."""
    monkeypatch.setattr(spools, "PUNCH_BYTES", 8192)
    data = noise(400_000)
    spool = new(tmp_path, ("fast", "slow"), max_size=100_000)
    gate = threading.Semaphore(0)
    found = []
    threads = [reader(spool, found, "fast"), reader(spool, found, "slow", [gate] * 1000)]

    def write():
        for start in range(0, len(data), 5000):
            append(spool, data[start : start + 5000])
        spool.finish()

    writer = threading.Thread(target=write)
    writer.start()
    writer.join(0.3)
    assert writer.is_alive()
    assert spool.size <= 105_000
    assert spool.gone == 0
    for _ in range(1000):
        gate.release()
    for thread in [writer, *threads]:
        thread.join(10)
        assert not thread.is_alive()
    assert found == [data, data]
    assert not spool.whole
    assert os.stat(spool.path).st_blocks * 512 <= 150_000


def test_a_reader_that_left_is_not_waited_for(tmp_path, small_parts, monkeypatch):
    """A destination that failed frees its part of the spool."""
    monkeypatch.setattr(spools, "PUNCH_BYTES", 4096)
    spool, found = new(tmp_path, ("alive", "dead"), max_size=20_000), []
    thread = reader(spool, found, "alive")
    spool.leave("dead")
    for _ in range(40):
        append(spool, bytes(4096))
    spool.finish()
    thread.join(10)
    assert found == [bytes(40 * 4096)]


def test_with_no_reader_left_a_full_spool_is_an_error(tmp_path, small_parts):
    """Without readers the writer would wait for ever."""
    spool = new(tmp_path, ("one",), max_size=10_000)
    spool.leave("one")
    with pytest.raises(OSError, match="max_size") as caught:
        append(spool, bytes(20_000))
    assert caught.value.errno == errno.EDQUOT


def test_the_disk_keeps_its_floor(tmp_path):
    """Below min_free of free disk the writer fails, with the reason."""
    spool = new(tmp_path, min_free=1 << 60)
    with pytest.raises(OSError, match="min_free") as caught:
        append(spool, b"x")
    assert caught.value.errno == errno.ENOSPC


def test_only_one_store_may_link_the_file_itself(tmp_path):
    """Two links to one file would be one replica: the second store must read."""
    spool = new(tmp_path)
    append(spool, b"sealed")
    assert [spool.link(str(tmp_path / name)) for name in "abc"] == [True, False, False]
    append(spool, b" and grown")
    assert (tmp_path / "a").read_bytes() == b"sealed and grown"
    assert sorted(os.listdir(tmp_path)) == [f".{NAME}.part", "a"]


def test_a_link_that_is_not_possible_leaves_the_file_to_the_next_store(tmp_path):
    """A store on another filesystem, or with a conflicting file, reads; the next one may link."""
    spool = new(tmp_path)
    (tmp_path / "taken").write_bytes(b"")
    assert not spool.link(str(tmp_path / "taken"))
    assert spool.link(str(tmp_path / "free"))


def test_an_unfinished_spool_is_hidden_private_and_never_overwritten(tmp_path):
    """Its name begins with a dot, its mode is 0600, and an existing file is an error."""
    spool = new(tmp_path)
    path = Path(spool.path)
    assert path.name == f".{NAME}.part"
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        new(tmp_path)
    spool.close(keep=False)
    assert os.listdir(tmp_path) == []


def test_a_kept_archive_has_its_final_name(tmp_path):
    """An archive that no destination could take waits whole, as in another store."""
    spool = new(tmp_path)
    append(spool, b"sealed")
    spool.finish()
    spool.close(keep=True)
    assert os.listdir(tmp_path) == [NAME]
    assert (tmp_path / NAME).read_bytes() == b"sealed"
