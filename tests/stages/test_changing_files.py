"""Files that change, shrink, grow or vanish while they are read: consistent, or flagged."""

import itertools
import os
import shutil
import threading
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.events import Progress
from engine.run import Clock, Run
from packrat.runs.backup import back_up
from stages.chunk import ChunkStage
from stages.source.read import ATTEMPTS, BLOCK_BYTES, read_file, read_small
from stages.source.walk import Found
from tests.helpers.indexes import entries_of, fetch_from
from tests.helpers.sampling import examples
from tests.helpers.trees import differences, fill, noise

LATER = Clock(now=lambda: time.time_ns() + 10**10)
BIG = 2 * BLOCK_BYTES + 5_000_001
TICK = 0.02
"""Seconds in which the file times of every kernel advance."""


class Meddler:
    """Program that changes the source each time the reader has read some bytes of it."""

    def __init__(self, *actions):
        self.actions = iter(actions)
        self.bytes = 0

    def __call__(self, event):
        if isinstance(event, Progress) and event.stage == "collect" and event.bytes > self.bytes:
            self.bytes = event.bytes
            if action := next(self.actions, None):
                time.sleep(TICK)
                action()


def backed_up_with(house, *actions):
    ticks = itertools.count()  # the clock advances so that every step of the reader is reported
    clock = Clock(now=LATER.now, ticks=lambda: float(next(ticks)))
    return back_up(house.pipeline(), [Meddler(*actions)], clock=clock)


def entry_of(house, path):
    [*_, newest] = house.catalog().backups
    archive = house.catalog().open(newest.stored.name, house.program.keys)
    entries = entries_of(archive.manifest.index, fetch_from(archive))
    return next(entry for entry in entries if entry.name == path)


def overwrite(path, offset, data):
    def act():
        with open(path, "r+b") as file:
            file.seek(offset)
            file.write(data)

    return act


@pytest.fixture
def big(house):
    """Return a house with a file of three blocks."""
    fill(house.source, {"big": noise(BIG), "other": b"quiet"})
    return house.source / "big"


def test_a_file_that_changes_once_is_read_again(house, big):
    """The pieces read before the change are void: the backup has the new state as a whole."""
    result = backed_up_with(house, overwrite(big, 100, b"changed behind the reader"))
    assert (result.status, result.warnings) == ("done", [])
    assert not entry_of(house, "big").unsettled
    assert differences(house.source, house.restore()) == []


@pytest.mark.parametrize("size", [0, 100, BLOCK_BYTES, BLOCK_BYTES + 1, BIG + 3_000_000])
def test_a_file_that_is_cut_off_or_grows_once_is_read_again(house, big, size):
    """The restored file ends at the new end, before or after the reader's position."""
    result = backed_up_with(house, lambda: os.truncate(big, size))
    assert (result.status, result.warnings) == ("done", [])
    assert differences(house.source, house.restore()) == []


def restless(path, sizes):
    """Change a file before each block that is read of it."""
    return [overwrite(path, 1000 * n, b"again") if s is None else cut(path, s) for n, s in sizes]


def cut(path, size):
    return lambda: os.truncate(path, size)


@pytest.mark.parametrize("sizes", [[None], [BIG - 1, BIG + 1], [BLOCK_BYTES + 7, BIG], [100, BIG]])
def test_a_constantly_changing_file_is_stored_flagged_and_reported(house, big, sizes):
    """After three attempts it is stored as read, with the flag in its entry and a warning."""
    several = list(enumerate(itertools.islice(itertools.cycle(sizes), 30)))
    result = backed_up_with(house, *restless(big, several))
    assert result.status == "done"
    assert [w for w in result.warnings if "'big' changed while it was read" in w]
    entry = entry_of(house, "big")
    assert entry.unsettled
    out = house.restore()
    assert (out / "big").stat().st_size == entry.size
    assert (out / "other").read_bytes() == b"quiet"
    assert not [v for v in house.verify() if v.status != "ok"]


def test_a_flagged_file_is_read_again_by_the_next_backup(house, big):
    """Even if nothing seems to have changed since: the stored content may be torn."""
    several = [(n, None) for n in range(30)]
    backed_up_with(house, *restless(big, several))
    assert entry_of(house, "big").unsettled
    assert house.back_up(clock=LATER).read == BIG
    assert not entry_of(house, "big").unsettled
    assert differences(house.source, house.restore()) == []
    assert house.back_up(clock=LATER).read == 0


def test_a_file_with_two_names_that_changes_is_one_file_still(house, big):
    """Both names get the result of the last read."""
    os.link(big, house.source / "zwei")
    backed_up_with(house, overwrite(big, 100, b"changed"))
    assert differences(house.source, house.restore()) == []


def test_a_file_deleted_while_it_is_read_is_stored_whole(house, big):
    """A process that has it open can read on to its end."""
    content = big.read_bytes()
    assert backed_up_with(house, big.unlink).status == "done"
    assert (house.restore() / "big").read_bytes() == content


def test_files_deleted_while_walking_cause_no_warning(house):
    """Files, folders and links that were listed and are gone: no warning, no missed file."""
    fill(house.source, {"a": b"first"} | {f"b/{n}": b"x" for n in range(9)} | {"c/d/e": b"x"})
    fill(house.source, {"f": b"x", "g": b"stays"})
    os.symlink("a", house.source / "link")

    def vanish():
        shutil.rmtree(house.source / "b")
        shutil.rmtree(house.source / "c")
        (house.source / "f").unlink()
        (house.source / "link").unlink()

    result = backed_up_with(house, vanish)
    assert (result.status, result.warnings) == ("done", [])
    assert sorted(os.listdir(house.restore())) == ["a", "g"]


def test_a_folder_deleted_while_the_walk_is_in_it(house):
    """The rest of its listing is skipped, and the walk continues after it."""
    fill(house.source, {f"a/{n}": b"x" for n in range(9)} | {"b": b"stays"})
    result = backed_up_with(house, lambda: shutil.rmtree(house.source / "a"))
    assert (result.status, result.warnings) == ("done", [])
    assert sorted(os.listdir(house.restore())) == ["a", "b"]
    assert os.listdir(house.root / "out" / "a") == ["0"]


def test_a_file_replaced_while_walking_is_not_followed(house):
    """A folder that becomes a link and a file that becomes a fifo are neither entered nor awaited.

    A folder outside does not get into the backup.
    """
    fill(house.source, {"a": b"x", "b/secret": b"in", "c": b"x", "d": b"x"})
    fill(house.root, {"outside/secret": b"out"})

    def become():
        shutil.rmtree(house.source / "b")
        os.symlink(house.root / "outside", house.source / "b")
        (house.source / "c").unlink()
        os.mkfifo(house.source / "c")

    assert backed_up_with(house, become).status in ("done", "partial")
    out = house.restore()
    assert (out / "d").read_bytes() == b"x"
    assert not (out / "b" / "secret").exists() or os.path.islink(out / "b")


def test_a_log_that_grows_all_the_time_restores_as_one_of_its_states(house):
    """Any backup of a file that only grows is a prefix of it."""
    log = house.source / "log"
    log.write_bytes(b"".join(b"%07d\n" % n for n in range(2_000_000)))
    stop = threading.Event()

    def append():
        with open(log, "ab", buffering=0) as file:
            for n in itertools.count(2_000_000):
                if stop.is_set():
                    return
                file.write(b"%07d\n" % n)

    writer = threading.Thread(target=append)
    writer.start()
    try:
        assert house.back_up().status == "done"
    finally:
        stop.set()
        writer.join()
    restored = (house.restore() / "log").read_bytes()
    assert len(restored) >= 16_000_000
    assert log.read_bytes().startswith(restored)


def test_a_small_file_that_changed_since_it_was_listed_is_read_as_it_is_now(tmp_path):
    """The fast path falls back to the careful one, and the entry matches the bytes."""
    path = tmp_path / "f"
    path.write_bytes(b"old")
    folder = os.open(tmp_path, os.O_RDONLY)
    found = Found("f", "f", folder, path.stat(), None)
    time.sleep(TICK)
    path.write_bytes(b"longer")
    assert read_small(found) is None
    *pieces, last = read_file(found)
    os.close(folder)
    assert b"".join(bytes(piece.data) for piece in pieces) == b"longer"
    assert (last.entry.size, last.entry.mtime) == (6, path.stat().st_mtime_ns)


plans = st.dictionaries(
    st.integers(0, 15), st.tuples(st.integers(0, 6000), st.booleans()), max_size=6
)


@settings(max_examples=examples(40))
@given(plans)
def test_every_unflagged_file_is_one_state(tmp_path_factory, keys, plan):
    """For any writes and truncations between any two reads, no mixed state goes unflagged."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "stages.source.read.BLOCK_BYTES", 1000
        )  # so that a small file has many of them
        reads_one_state(tmp_path_factory, keys, plan)


def reads_one_state(tmp_path_factory, keys, plan):
    path = tmp_path_factory.mktemp("f") / "f"
    path.write_bytes(noise(5500, 77))
    folder = os.open(path.parent, os.O_RDONLY)
    states = [path.read_bytes()]

    def pieces():
        for number, piece in enumerate(read_file(Found("f", "f", folder, path.stat(), None))):
            yield piece
            if number in plan:
                time.sleep(TICK / 3)
                at, write = plan[number]
                (overwrite(path, at, noise(10, number)) if write else cut(path, at))()
                states.append(path.read_bytes())

    stored = bytearray()
    reads = 1
    for chunk in ChunkStage().forward(pieces(), Run.alone(keys)):
        if chunk.again:
            stored.clear()
            reads += 1
        if chunk.id:
            stored.extend(bytes(max(0, chunk.offset - len(stored))))
            stored[chunk.offset : chunk.offset + len(chunk.data)] = chunk.data
    os.close(folder)
    entry = chunk.entry
    stored.extend(bytes(entry.size - len(stored)))
    assert chunk.last
    assert len(stored) == entry.size
    assert reads <= ATTEMPTS
    assert entry.unsettled or bytes(stored) in states
