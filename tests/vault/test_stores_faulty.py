"""Faulty lines and servers, for every kind of store: broken, silent, slow, lying."""

import threading
import time

import pytest

from tests.helpers.faulty import Faulty
from tests.helpers.sampling import daily
from tests.helpers.stores import KINDS, NETWORK, At, Servers
from tests.helpers.trees import noise
from tests.vault.test_stores import parts
from vault.errors import Away, Damaged
from vault.store import calls
from vault.store.retrying import Retrying
from vault.store.throttled import Throttled

DATA = noise(3_000_000)
PART = 500_000
EACH_DAY = ("memory", "s3 moto", "sftp")


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    servers = Servers(tmp_path_factory.mktemp("servers"))
    with servers.stack:
        yield servers


@pytest.fixture(scope="module", params=daily(KINDS, EACH_DAY))
def kind(request, servers):
    return At(request.param, servers)


@pytest.fixture
def at(kind, impatient):
    kind.begin()
    return kind


@pytest.fixture(scope="module", params=daily(NETWORK, EACH_DAY))
def far_kind(request, servers):
    return At(request.param, servers)


@pytest.fixture
def far(far_kind, impatient):
    far_kind.begin()
    return far_kind


def send(store, at, data=DATA):
    for _ in store.write(at.service, at.name, parts(data, PART)):
        pass
    store.commit(at.service, at.name, lambda _: None)


@pytest.mark.parametrize("lost", ["upload", "put", "finish", "place", "read", "delete", "discard"])
def test_a_lost_answer_changes_nothing(at, lost):
    """The server did the work, and its answer was lost: after a retry all is as usual."""
    if at.kind == "local":
        pytest.skip("a disk answers, and is not asked twice")
    if lost == "put" and not at.sending:
        pytest.skip("bytes are written one after the other there, and never twice")
    faulty = Faulty(at.open(), lost)
    store = Retrying(faulty)
    send(store, at)
    assert [one.name for one in at.archives] == [at.name]
    assert store.read(at.service, at.name, 5, 2_000_000) == DATA[5:2_000_005]
    for _ in store.write(at.service, at.other, parts(DATA, PART)):
        pass
    store.discard(at.service, at.other)
    store.delete(at.service, at.name)
    assert (at.files, faulty.failed) == ([], [lost])
    at.reader.clean(at.service)
    assert at.uploads == []


def test_a_wrong_range_is_damage_and_nothing_is_listed(at):
    """A file that does not read back as it was written is never published."""
    store = Retrying(Faulty(at.open(), shift=1))
    for _ in store.write(at.service, at.name, parts(DATA, PART)):
        pass

    def prove(name):
        if store.read(at.service, name, 0, 100) != DATA[:100]:
            raise Damaged(name, "other bytes")

    with pytest.raises(Damaged):
        store.commit(at.service, at.name, prove)
    assert at.archives == []
    store.discard(at.service, at.name)
    assert (at.files, at.uploads) == ([], [])


def test_cut_for_good_after_some_bytes_it_leaves_nothing_that_is_listed(at):
    """The upload fails after its attempts; discard and the next attempt work."""
    store = Retrying(Faulty(at.open(), cut_after=PART))
    with pytest.raises(Away, match="the line is cut"):
        send(store, at)
    assert at.archives == []
    store.discard(at.service, at.name)
    assert (at.files, at.uploads) == ([], [])
    send(at.open(), at)
    assert [one.size for one in at.archives] == [len(DATA)]


@pytest.mark.parametrize("after", [1_000, 1_200_000])
@pytest.mark.thorough
def test_a_line_that_is_cut_during_an_upload(far, after):
    """One error, in time, and nothing is listed. With the line back, the same store works."""
    line = far.line(cut_after=after)
    store = Retrying(far.open(line.port))
    with pytest.raises(Away, match="destination it"):
        send(store, far)
    assert far.archives == []
    line.left = None
    store.discard(far.service, far.name)
    far.reader.clean(far.service)
    send(store, far)
    assert far.reader.read(far.service, far.name, 0, len(DATA)) == DATA
    assert (far.files, far.uploads) == ([far.name], [])
    line.close()


@pytest.mark.thorough
def test_a_silent_server_is_reported_within_its_time(far, monkeypatch):
    """Every call fails after two attempts, each with one time limit."""
    monkeypatch.setattr(calls, "PATIENCE_SECONDS", 2.0)
    line = far.line(silent=True)
    store = Retrying(far.open(line.port))
    for call in (
        lambda: store.files(far.service),
        lambda: store.read(far.service, far.name, 0, 9),
        lambda: list(store.write(far.service, far.name, parts(DATA, PART))),
    ):
        begun = time.monotonic()
        with pytest.raises(Away, match="destination it"):
            call()
        assert time.monotonic() - begun < 14
    line.close()


def test_a_call_to_a_silent_server_is_cancelled_at_once(far, monkeypatch):
    """The exception of `check` is raised within a moment."""
    line = far.line(silent=True)
    store = Retrying(far.open(line.port))
    begun = time.monotonic()

    def check():
        if time.monotonic() - begun > 0.5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        store.read(far.service, far.name, 0, 9, check)
    assert time.monotonic() - begun < 2
    line.close()


def test_an_upload_over_a_slow_line_is_cancelled_at_once_and_discarded(far):
    """Sending the rest would take ten seconds; cancelling takes one, and deletes the parts."""
    line = far.line(rate=300_000)
    store = Retrying(far.open(line.port))
    cancelled = threading.Event()
    threading.Timer(1.5, cancelled.set).start()

    def check():
        if cancelled.is_set():
            raise KeyboardInterrupt

    begun = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        for _ in store.write(far.service, far.name, parts(DATA, PART), check):
            pass
    assert time.monotonic() - begun < 4
    line.rate = None
    store.discard(far.service, far.name)
    far.reader.clean(far.service)
    assert far.archives == []
    assert far.uploads == []
    line.close()


def test_a_slow_line_carries_everything(far):
    """A slow line is not treated as hanging."""
    line = far.line(rate=2_000_000)
    send(Retrying(far.open(line.port)), far)
    assert far.reader.read(far.service, far.name, 0, len(DATA)) == DATA
    line.close()


def test_a_limit_holds_on_average(at):
    """Three million bytes at two million a second take at least a second, also in parallel."""
    begun = time.monotonic()
    send(Throttled(at.open(), 2_000_000), at)
    assert 1.0 < time.monotonic() - begun < 8
    assert at.reader.read(at.service, at.name, 0, len(DATA)) == DATA


def test_reads_from_several_threads_at_once(far):
    """A restore reads ahead in threads."""
    send(far.writer, far)
    found = {}

    def read(start):
        found[start] = far.reader.read(far.service, far.name, start, 100_000)

    threads = [
        threading.Thread(target=read, args=(start,)) for start in range(0, 3_000_000, 200_000)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert found == {start: DATA[start : start + 100_000] for start in range(0, 3_000_000, 200_000)}
