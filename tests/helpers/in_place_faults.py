"""Campaign of faults against an in-place restore, its undo and its forget.

For every n, the n-th call fails or the process is killed before it. Then: nothing of the user's is
lost, recovery leaves the old state or the new one, and the operation can be repeated.
"""

import os
import shutil
from contextlib import ExitStack, suppress

import pytest

from stages.errors import TargetError
from stages.restore_target import linux
from stages.in_place.record import read_records
from tests.helpers.faults import KILL, Fault, injected
from tests.helpers.forked import ended, forked
from tests.helpers.in_place import NEW, OLD, Place

OPERATIONS = ("swap", "undo", "forget", "recover swap", "recover undo")
MOST_CALLS = 2000


def campaign(base, operation, how, *, numbers=None, fill=None, exchanges=True, lasting=False):
    """Run one operation with a fault at each of the numbers; return how many were injected.

    All calls in turn without `numbers`. `fill` prepares the service's folder before its content is
    made.
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
                hit = _one(place.fill(), operation, Fault(number, how, lasting=lasting))
        shutil.rmtree(room)
        if not hit:
            break
        injected_faults += 1
    return injected_faults


def forbid_flags(patch):
    """Make renames with flags fail, as on a filesystem that has none."""

    def refuse(*_):
        raise OSError(22, "Invalid argument")

    patch.setattr(linux, "exchange", refuse)
    patch.setattr(linux, "rename_noreplace", refuse)


def _one(place, operation, fault):
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
        hit = _run(place.recover, fault)
    else:
        hit = _run(
            {"swap": place.restore, "undo": place.undo, "forget": place.forget}[operation], fault
        )
    if operation == "forget":
        known = {b"since, in no backup", b"since, at a new path"}
    assert known <= place.everywhere(), f"lost: {where}"
    result = place.recover()
    assert result.owed == (), (where, result)
    assert place.recover() == type(result)(), f"not settled: {where}"
    assert known <= place.everywhere(), f"lost by the recovery: {where}"
    _is_old_or_new(place, operation, before, where)
    _repeat(place, operation, where)
    assert (known if operation != "forget" else set()) <= place.everywhere(), f"lost later: {where}"
    return hit


def names(place):
    """The state without the time of the top, which the working folder's own coming changes."""
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
    """Run in this process, or in one that is killed; return whether the fault was injected."""
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
    """Be killed in the middle of the moves."""
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
