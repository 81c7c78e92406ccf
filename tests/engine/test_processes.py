"""Work by copies of this process: in order, errors come back, and nothing of it stays behind."""

import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.processes import COPIES, CopyDied, in_processes
from vault.errors import Damaged, VaultError


@settings(max_examples=15)
@given(st.lists(st.binary(max_size=200_000), max_size=30))
def test_in_order_whatever_it_is(items):
    """For any items: each is worked at once, and elsewhere if they are several; in order."""
    results = list(in_processes(lambda item: (item[::-1], os.getpid()), iter(items)))
    assert [result for result, _ in results] == [item[::-1] for item in items]
    assert len(items) == 1 or os.getpid() not in {pid for _, pid in results}


def test_all_copies_work():
    """Items that take a while are shared among them."""
    assert len(set(in_processes(lambda _: time.sleep(0.02) or os.getpid(), range(40)))) == COPIES


@pytest.mark.parametrize(
    "error",
    [
        OSError(28, "No space left on device", "/srv/a"),
        Damaged("here", "there", "do this"),
        VaultError("what", "hint"),
        ValueError("x"),
    ],
    ids=repr,
)
def test_an_error_comes_back_as_it_was(error):
    """What came before it is given; its text, its hint and what was noted on it are there."""
    error.__dict__["noted"] = "by a stage"

    def work(number):
        if number == 5:
            raise error
        return number

    results = in_processes(work, count())
    seen = []
    with pytest.raises(type(error)) as found:
        seen.extend(results)
    assert (str(found.value), found.value.__dict__) == (str(error), error.__dict__)
    assert seen == [0, 1, 2, 3, 4]


def test_a_copy_that_dies_is_an_error_and_no_wrong_result():
    """Such as one that the kernel chose when memory ran out."""

    def work(number):
        if number == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    seen = []
    with pytest.raises(CopyDied):
        seen.extend(in_processes(work, range(100)))
    assert seen == [0, 1, 2]


def children(pid):
    """Give the processes that this one has begun."""
    return Path(f"/proc/{pid}/task/{pid}/children").read_text().split()


def test_when_it_ends_the_copies_have_ended():
    """At its end, and when nobody asks any more."""
    before = children(os.getpid())
    results = in_processes(lambda number: number, count())
    assert next(results) == 0
    assert len(children(os.getpid())) == len(before) + COPIES
    results.close()
    assert children(os.getpid()) == before
    list(in_processes(lambda number: number, range(3)))
    assert children(os.getpid()) == before


PROGRAM = """
import signal, time
from engine.processes import in_processes

signal.signal(signal.SIGINT, signal.default_int_handler)  # a job in the background ignores it

def work(number):
    time.sleep(0.05)
    return number

try:
    for number in in_processes(work, range(1000)):
        print(number, flush=True)
except KeyboardInterrupt:
    print("interrupted", number + 1, flush=True)
"""


def begun():
    process = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "0\n"
    return process, children(process.pid)


def test_a_signal_to_all_processes_is_answered_by_the_first_alone():
    """Ctrl-C reaches the copies as well, and what they are at is done."""
    process, copies = begun()
    os.killpg(process.pid, signal.SIGINT)
    said = process.communicate(timeout=20)[0].split("\n")
    assert said[-2].startswith("interrupted")
    assert not any(alive(pid) for pid in copies)


def test_the_copies_die_with_it():
    """SIGKILL leaves nobody behind who goes on writing."""
    process, copies = begun()
    process.kill()
    process.wait()
    until = time.monotonic() + 5
    while any(alive(pid) for pid in copies) and time.monotonic() < until:
        time.sleep(0.01)
    assert not any(alive(pid) for pid in copies)


def alive(pid):
    with suppress(OSError):
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False
