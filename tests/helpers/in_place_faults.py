"""Campaign of faults against an in-place restore, its undo and its forget.

For every n, the n-th call fails or the process is killed before it. After that, no file of the user
is lost, recovery leaves the old state or the new one, and the operation can be repeated.
"""

import os
import shutil
import subprocess
import tempfile
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from stages import linux
from stages.errors import TargetError
from stages.in_place.record import read_records
from tests.helpers.disks_in_place import mounted
from tests.helpers.faults import KILL, Fault, injected
from tests.helpers.forked import ended, forked
from tests.helpers.in_place import NEW, OLD, Place

OPERATIONS = ("swap", "undo", "forget", "recover swap", "recover undo")
MOST_CALLS = 2000


def campaign(
    base, operation, how, *, numbers=None, fill=None, exchanges=True, lasting=False, power=None
):
    """Run one operation with a fault at each of the numbers; return how many were injected.

    Without `numbers`, each call fails in turn. `fill` prepares the service's folder before its
    content is created. With `power`, the fault is a power cut: recovery runs on the disk's image.
    """
    injected_faults = 0
    for number in numbers or range(1, MOST_CALLS):
        with ExitStack() as stack:
            room = base / f"{number}"
            place = Place(room)
            if fill:
                stack.enter_context(fill(place))
            with pytest.MonkeyPatch.context() as patch:
                if not exchanges:
                    forbid_flags(patch)
                hit = _one(place.fill(), operation, Fault(number, how, lasting=lasting), power)
        shutil.rmtree(room)
        if not hit:
            break
        injected_faults += 1
    return injected_faults


def forbid_flags(patch):
    """Make renames with flags fail, as on a filesystem that does not support them."""

    def refuse(*_):
        raise OSError(22, "Invalid argument")

    patch.setattr(linux, "exchange", refuse)
    patch.setattr(linux, "rename_noreplace", refuse)


class PowerCut:
    """A small ext4 in memory, whose image lacks what is not synced yet."""

    def __init__(self, base):
        self._base = base
        self._memory = Path(tempfile.mkdtemp(dir="/dev/shm"))
        self._mount = mounted(self._memory / "image", base / "disk", megabytes=16)

    def __enter__(self):
        self.disk = self._mount.__enter__()
        return self

    def __exit__(self, *error):
        self._mount.__exit__(*error)
        shutil.rmtree(self._memory)

    def sync(self):
        """Sync the filesystem, as happens with time."""
        subprocess.run(["sync", "--file-system", self.disk], check=True)

    @contextmanager
    def cut(self, place):
        """Yield the service on the current image, as after a power cut."""
        with self.snapshot() as disk:
            after = Place(disk / place.base.relative_to(self.disk))
            after.old, after.new = place.old, place.new
            yield after

    @contextmanager
    def snapshot(self):
        """Mount a copy of the current image, as after a power cut."""
        snapshot = self._memory / "snapshot"
        shutil.copyfile(self._memory / "image", snapshot)
        with mounted(snapshot, self._base / "after") as disk:
            yield disk
        snapshot.unlink()


def _one(place, operation, fault, power):
    where = f"{operation}, {fault.how} at call {fault.number}"
    known = set(OLD.values())
    if operation != "swap" and not operation.endswith("swap"):
        place.restore()
        (place.path / "data" / "x").write_bytes(b"since, in no backup")
        (place.path / "brand-new").write_bytes(b"since, at a new path")
        known |= {b"since, in no backup", b"since, at a new path", *NEW.values()} - {NEW["data/x"]}
    before = names(place)
    if operation.startswith("recover"):
        _die_half_way(place, operation.removeprefix("recover "))
        work = place.recover
    else:
        work = {"swap": place.restore, "undo": place.undo, "forget": place.forget}[operation]
    if operation == "forget":
        known = {b"since, in no backup", b"since, at a new path"}
    if power is None:
        hit = _run(work, fault)
        _settle(place, operation, before, known, where)
        return hit
    power.sync()
    hit = _run(work, fault)
    with power.cut(place) as after:
        _settle(after, operation, before, known, where)
    return hit


def _settle(place, operation, before, known, where):
    """Check the state after the fault, after the recovery, and after a repetition."""
    assert known <= place.everywhere(), f"lost: {where}"
    result = place.recover()
    assert result.owed == (), (where, result)
    assert place.recover() == type(result)(), f"not settled: {where}"
    assert known <= place.everywhere(), f"lost by the recovery: {where}"
    _is_old_or_new(place, operation, before, where)
    _repeat(place, operation, where)
    assert (known if operation != "forget" else set()) <= place.everywhere(), f"lost later: {where}"


def names(place):
    """Return the state without the time of the top folder, which packrat's own folder changes."""
    found = place.look()
    found["."] = found["."][:3]
    return found


def unlike(found, wanted):
    """Return what differs between two states."""
    every = found.keys() | wanted.keys()
    return {n: (found.get(n), wanted.get(n)) for n in every if found.get(n) != wanted.get(n)}


def _is_old_or_new(place, operation, before, where):
    now = names(place)
    old = place.old | {".": place.old["."][:3]}
    new = place.new | {".": place.new["."][:3]}
    if operation.endswith("swap"):
        assert now in (old, new), (where, unlike(now, old), unlike(now, new))
    elif operation.endswith("undo"):
        assert now in (old, before), (where, unlike(now, old), unlike(now, before))
    else:
        assert now == before, where


def _repeat(place, operation, where):
    phases = [record.phase for record in read_records(place.state, "svc")]
    if operation.endswith("undo") and "swapped" in phases:
        place.undo()
        assert place.look() == place.old, where
    elif operation.endswith("swap"):
        if "swapped" not in phases:
            place.restore()
        assert place.look() == place.new, where
        place.undo()
        assert names(place) == place.old | {".": place.old["."][:3]}, where
    elif operation == "forget":
        assert place.forget().failed == (), where
        assert not list(place.path.glob(".packrat*")), where
        assert read_records(place.state, "svc") == [], where


def _run(work, fault):
    """Run in this process, or in a child to be killed; return whether the fault was injected."""
    if fault.how != KILL:
        with injected(fault), suppress(OSError, TargetError):
            work()
        return fault.hit

    def child():
        with injected(fault):
            work()
        return 0

    status = ended(forked(child))
    assert status in (0, -9), f"the child ended with {status}"
    return status == -9


def _die_half_way(place, operation):
    """Run an operation in a child that is killed in the middle of the moves."""
    work = {"swap": place.restore, "undo": place.undo}[operation]

    def child():
        real, calls = linux.exchange, []

        def dying(*at):
            calls.append(at)
            if len(calls) == (5 if operation == "swap" else 3):
                os._exit(9)
            real(*at)

        linux.exchange = dying
        work()
        return 0

    assert ended(forked(child)) == 9
