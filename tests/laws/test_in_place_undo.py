"""Undo on a disk that fails for good: one clear error, nothing lost, and never a second undo."""

import pytest

from packrat.errors import Exit
from packrat.restore.choose import choose
from packrat.restore.undo import undo
from stages.errors import SourceError, TargetError
from tests.helpers.faults import Fault, injected
from tests.helpers.house import House
from tests.helpers.restoring import restore
from tests.helpers.trees import fill

FIRST, WORK, SINCE = b"before everything", b"between two restores", b"after both"
BROKEN = ("stages.in_place.record", "stages.in_place.exchange", "stages.in_place.identity")


@pytest.fixture
def twice(tmp_path):
    """Return a function that makes a house with two restores in place, and work between them."""

    def make(name):
        house = House(tmp_path / name)
        fill(house.source, {"data/x": b"1", "data/y": b"2"})
        house.backed_up()
        for work in (FIRST, WORK):
            fill(house.source, {"data/work": work})
            program = house.program
            restore(program, "svc", choose(program, "svc"), (), None)
        fill(house.source, {"data/since": SINCE})
        return house

    return make


def contents(house):
    return {path.read_bytes() for path in house.source.rglob("*") if path.is_file()}


def undone(house, fault):
    """Undo with a fault; return the error, or None."""
    try:
        with injected(fault):
            assert undo(house.program, "svc") == Exit.DONE
    except (SourceError, TargetError) as error:
        return error
    return None


@pytest.mark.parametrize("broken", BROKEN)
@pytest.mark.thorough
def test_an_undo_on_a_disk_that_fails_for_good_says_why_and_is_not_repeated(twice, broken):
    """Whatever has failed, the next undo leaves the state before the newest restore."""
    hits = 0
    for number in range(1, 60, 2):
        fault = Fault(number, "EIO", broken, lasting=True)
        house = twice(f"{number}")
        error = undone(house, fault)
        if not fault.hit:
            break
        hits += 1
        assert contents(house) >= {FIRST, WORK, SINCE}, number
        if error:  # a fault that does no harm, for example in a time stamp, ends nothing
            assert "Input/output error" in str(error)
            assert str(house.source) in str(error) or str(house.state) in str(error)
            assert error.hint
            still = undone(house, Fault(1, "EIO", lasting=True))
            assert "Input/output error" in str(still), "the disk still fails"
            assert undone(house, Fault()) is None, number
        assert contents(house) >= {FIRST, WORK, SINCE}, number
        assert (house.source / "data" / "work").read_bytes() == WORK, number
        assert not (house.source / "data" / "since").exists(), number
    assert hits
