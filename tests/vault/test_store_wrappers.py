"""Retrying and throttling, and the transfer of parts, on a real folder."""

import threading
import time

import pytest

from tests.helpers.faulty import Faulty
from tests.helpers.trees import noise
from tests.vault.test_stores import parts
from vault.errors import Away, NotThere, Retryable
from vault.store import retrying
from vault.store.local import Local
from vault.store.retrying import Retrying
from vault.store.throttled import Rate
from vault.store.upload import Upload, in_memory, join, send

NAME = "svc-20260101T000000Z-00112233.packrat"


class Always(Faulty):
    """Call that fails every time, silently or not, and counts the attempts."""

    def __init__(self, store, silent):
        super().__init__(store)
        self.silent, self.count = silent, 0

    def size(self, *_):
        self.count += 1
        error = Retryable("no")
        error.silent = self.silent
        raise error


@pytest.mark.parametrize(("silent", "tries"), [(False, 4), (True, 2)])
def test_a_call_is_tried_four_times_and_half_as_often_if_the_server_is_silent(
    tmp_path, monkeypatch, silent, tries
):
    """Each silent attempt has already taken the whole time limit."""
    monkeypatch.setattr(retrying, "BACKOFF_SECONDS", 0.01)
    always = Always(Local("it", str(tmp_path)), silent)
    with pytest.raises(Away, match="no"):
        Retrying(always).size("svc", NAME)
    assert always.count == tries


def test_other_faults_are_not_tried_again(tmp_path):
    """A missing file stays missing."""
    begun = time.monotonic()
    with pytest.raises(NotThere):
        Retrying(Local("it", str(tmp_path))).delete("svc", NAME)
    assert time.monotonic() - begun < 0.5


def test_a_pause_between_attempts_can_be_cancelled(tmp_path, monkeypatch):
    """`check` is called during the pause."""
    monkeypatch.setattr(retrying, "BACKOFF_SECONDS", 60)
    asked = iter([None, None, KeyboardInterrupt])

    def check():
        if error := next(asked):
            raise error

    with pytest.raises(KeyboardInterrupt):
        Retrying(Always(Local("it", str(tmp_path)), False)).size("svc", NAME, check)


def test_turns_are_shared_by_threads():
    """Four threads that each take a quarter of a second's bytes wait for a second in all."""
    rate, begun = Rate(1000), time.monotonic()
    threads = [threading.Thread(target=rate.take, args=(250, lambda: None)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert 0.95 < time.monotonic() - begun < 2


def test_parts_are_joined_until_they_are_large_enough():
    """Only the last may be smaller, and the sizes may grow."""
    joined = list(join(parts(noise(1000), 100), lambda number: 150 * number))
    assert [(part.offset, part.length) for part in joined] == [(0, 200), (200, 300), (500, 500)]
    assert b"".join(part.read() for part in joined) == noise(1000)


class Recorder(Upload):
    """Upload that accepts parts in threads, and may fail at one."""

    at_once = 3

    def __init__(self, fail_at=0):
        self.fail_at, self.done, self.ended = fail_at, [], ""
        self.most = self.now = 0

    def put(self, number, part, check):
        self.now += 1
        self.most = max(self.most, self.now)
        for _ in range(20):
            time.sleep(0.005)
            check()
        self.now -= 1
        if number == self.fail_at:
            raise Away("failed")
        self.done.append(number)

    def finish(self, check):
        self.ended = "finished"

    def abandon(self):
        self.ended = "abandoned"


def test_parts_are_sent_at_once_and_reported_without_a_gap():
    """As many as the store accepts; the yielded numbers grow by whole parts."""
    upload = Recorder()
    assert list(send(lambda: upload, parts(noise(1000), 100), lambda: None)) == list(
        range(100, 1001, 100)
    )
    assert (upload.most, upload.ended, sorted(upload.done)) == (3, "finished", list(range(1, 11)))


def test_a_part_that_fails_ends_the_upload_and_the_parts_beside_it():
    """Its error is raised, the others are cancelled, and the upload is not finished."""
    upload = Recorder(fail_at=2)
    with pytest.raises(Away, match="failed"):
        list(send(lambda: upload, parts(noise(100_000), 100), lambda: None))
    assert upload.ended == "abandoned"
    assert len(upload.done) < 10


def test_an_upload_that_is_not_driven_on_is_abandoned():
    """The iterator is closed in the middle."""
    upload = Recorder()
    sending = send(lambda: upload, parts(noise(10_000), 100), lambda: None)
    next(sending)
    sending.close()
    assert upload.ended == "abandoned"


def test_an_empty_part_is_a_part():
    """An archive of one part without bytes."""
    assert list(send(Recorder, [in_memory(b"")], lambda: None)) == [0]
