"""Work on a thread pool: in order, bounded, and finished at the end."""

import itertools
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.pool import in_order

WAIT = 10


@given(st.integers(0, 40), st.integers(1, 6), st.integers(1, 4))
def test_in_order_keeps_the_order_and_the_bound(count, ahead, threads):
    """For any number of items: results in order, never more than `ahead` begun and not yielded."""
    begun = given_out = most = 0

    def items():
        nonlocal begun, most
        for number in range(count):
            begun += 1
            most = max(most, begun - given_out)
            yield number

    with ThreadPoolExecutor(threads) as pool:
        seen = []
        for result in in_order(pool, lambda n: n * n, items(), ahead):
            given_out += 1
            seen.append(result)
    assert seen == [n * n for n in range(count)]
    assert most <= ahead


@given(st.integers(1, 20), st.data())
def test_in_order_yields_earlier_results_before_an_error(count, data):
    """A failed task ends the stream at its position."""
    bad = data.draw(st.integers(0, count - 1))

    def work(number):
        if number == bad:
            raise OSError("this one")
        return number

    seen = []
    with ThreadPoolExecutor(2) as pool:
        stream = in_order(pool, work, range(count), 3)
        seen.extend(itertools.islice(stream, bad))
        with pytest.raises(OSError, match="this one"):
            next(stream)
    assert seen == list(range(bad))


def test_in_order_yields_a_result_without_waiting_for_the_next_item():
    """Finished results are yielded at once if the source is slow."""
    done = threading.Event()

    def items():
        yield 1
        assert done.wait(WAIT)
        time.sleep(0.05)
        yield 2
        yield 3

    def work(number):
        done.set()
        return number

    with ThreadPoolExecutor(1) as pool:
        stream = in_order(pool, work, items(), 2)
        assert next(stream) == 1


def test_in_order_left_early_begins_no_more_work():
    """Closing the generator cancels the tasks that have not begun."""
    worked = []
    first, go_on = threading.Event(), threading.Event()

    def work(number):
        first.set()
        assert go_on.wait(WAIT)
        worked.append(number)
        return number

    with ThreadPoolExecutor(1) as pool:
        stream = in_order(pool, work, iter(range(100)), 5)
        reader = threading.Thread(target=next, args=(stream,))
        reader.start()
        assert first.wait(WAIT)
        go_on.set()
        reader.join()
        stream.close()
    assert len(worked) <= 6


def test_in_order_left_early_waits_for_the_work_under_way():
    """The resources that the tasks use may be closed right after."""
    begun, over = threading.Event(), []

    def work(number):
        if not number:
            assert begun.wait(WAIT)
            return
        begun.set()
        time.sleep(0.1)
        over.append(number)

    with ThreadPoolExecutor(2) as pool:
        stream = in_order(pool, work, range(2), 2)
        next(stream)
        stream.close()
        assert over == [1]
