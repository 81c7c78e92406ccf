"""Failure in any stage, direction and branch: the laws hold, and nothing hangs."""

import threading
import time
from contextlib import contextmanager

import pytest

from engine.events import Failed, Finished, Skipped
from engine.stage import Scope
from stages.kinds import KINDS
from tests.helpers.containers import house_of
from tests.helpers.house import House
from tests.helpers.plans import backing_up, pruning, restoring
from tests.helpers.sampling import sample
from tests.helpers.trees import differences, fill, noise

SECONDS = 10
COMMANDS = {name: {"command": "true"} for name in ("pre_backup", "post_backup", "post_restore")}
TRUNK = ["preflight", "survey", "base", "source", "post_restore", "pre_backup", "collect",
         "post_backup", "gather", "chunk", "pack", "compress", "encrypt", "spool"]  # fmt: skip
BRANCH = ["catch_up", "upload", "confirm", "prune"]
BACK = ["select", "locate", "upload:one", "spool", "encrypt", "compress", "pack", "chunk", "gather"]


class InjectedError(Exception):
    """Failure that a test injects."""


@pytest.fixture
def failing(monkeypatch):
    """Make a stage fail before it has done anything, or when all is done."""

    def inject(target, at):
        def wrap(kind, name):
            original = getattr(kind, name)

            def stream(self, items, run):
                if run.stage == target and at == "first":
                    raise InjectedError(target)
                yield from original(self, items, run)
                if run.stage == target:
                    raise InjectedError(target)

            def step(self, run):
                if run.stage == target and at == "first":
                    raise InjectedError(target)
                original(self, run)
                if run.stage == target:
                    raise InjectedError(target)

            monkeypatch.setattr(kind, name, stream if name in ("forward", "inverse") else step)

        for kind in KINDS:
            if issubclass(kind, Scope):
                wrap(kind, "acquire")
                wrap(kind, "release")
                continue
            wrap(kind, "forward")
            if kind.inverse is not None:
                wrap(kind, "inverse")

    return inject


@contextmanager
def soon():
    """Assert that a run ends in time and leaves no thread."""
    threads = set(threading.enumerate())
    begun = time.monotonic()
    yield
    assert time.monotonic() - begun < SECONDS
    left = set(threading.enumerate()) - threads
    for thread in left:
        thread.join(1)
    assert not [thread for thread in left if thread.is_alive()]


def house_with(tmp_path, at=("one", "two"), **settings):
    house = House(tmp_path, at, settings=settings)
    fill(house.source, {"a": noise(300_000), "b/c": b"x" * 1000})
    return house


def published(house, name):
    return {file.name for file in (house.stores[name] / house.service).glob("*.packrat")}


def reasons(events):
    """Return stage -> the stage because of which it was skipped."""
    return {e.stage: e.because for e in events if isinstance(e, Skipped)}


def assert_ends(graph, events, target):
    """Assert that each stage ended once, the target failed, and its dependents were skipped."""
    ended = [e.stage for e in events if isinstance(e, Finished | Failed | Skipped)]
    assert sorted(ended) == sorted(graph.nodes)
    assert [(e.stage, str(e.error)) for e in events if isinstance(e, Failed)] == [(target, target)]
    assert set(reasons(events).values()) <= {target}


@pytest.mark.parametrize("at", ["first", "last"])
@pytest.mark.parametrize("target", TRUNK)
def test_backup_with_a_failure_in_the_trunk(tmp_path, failing, monkeypatch, target, at):
    house = house_with(tmp_path, **COMMANDS)
    first = house.backed_up()
    (house.source / "new").write_bytes(b"new")
    events = []
    failing(target, at)
    with soon():
        graph, result = backing_up(house, events.append)
    assert_ends(graph, events, target)
    released = target == "post_backup"  # a failed release does not hold back the archive
    sealed = released or (target, at) == ("spool", "last")
    assert result.status == "failed"
    skipped = set(reasons(events))
    if not sealed:
        assert {f"{kind}:{name}" for kind in BRANCH for name in house.stores} <= skipped
        assert all(published(house, name) == {first.name} for name in house.stores)
    if released:
        assert skipped == set()
        assert all(len(published(house, name)) == 2 for name in house.stores)
    # The next run puts back what was not released at all.
    owed = (target, at) == ("post_backup", "first")
    assert (house.state / "journal" / "svc.json").exists() == owed
    monkeypatch.undo()
    again = house.back_up()
    assert (again.status, len(again.warnings)) == ("done", int(owed))
    assert published(house, "one") == published(house, "two") > {first.name}


@pytest.mark.parametrize("at", ["first", "last"])
@pytest.mark.parametrize("kind", BRANCH)
def test_backup_with_a_failure_in_one_branch(tmp_path, failing, monkeypatch, kind, at):
    """The other destination finishes; what was published stays published."""
    house = house_with(tmp_path)
    first = house.backed_up()
    (house.source / "new").write_bytes(b"new")
    events = []
    failing(f"{kind}:one", at)
    with soon():
        graph, result = backing_up(house, events.append)
    assert_ends(graph, events, f"{kind}:one")
    assert (result.status, result.destinations["two"]["status"]) == ("partial", "done")
    new = published(house, "two") - {first.name}
    assert len(new) == 1
    # The last stage of a chain begins first; an upload ends after its archive was confirmed.
    there = kind != "catch_up" and at == "last"
    assert published(house, "one") == {first.name} | (new if there else set())
    assert all(name.endswith(":one") for name in reasons(events))
    monkeypatch.undo()
    assert house.back_up().status == "done"
    assert published(house, "one") == published(house, "two") > new


@pytest.mark.parametrize("at", ["first", "last"])
@pytest.mark.parametrize("target", BACK)
def test_restore_to_a_folder_with_a_failure(tmp_path, failing, monkeypatch, target, at):
    """It ends with the failure; repeating the same restore completes it."""
    house = house_with(tmp_path, ("one",))
    house.backed_up()
    events = []
    failing(target, at)
    with soon(), pytest.raises(InjectedError, match=target):
        restoring(house, events.append, to=str(tmp_path / "out"))
    assert [e.stage for e in events if isinstance(e, Failed)] == [target]
    assert set(reasons(events).values()) <= {target}
    monkeypatch.undo()
    if (target, at) != ("gather", "last"):  # everything was written then
        restoring(house, to=str(tmp_path / "out"))
    assert differences(house.source, tmp_path / "out") == []


@pytest.mark.parametrize("at", ["first", "last"])
@pytest.mark.parametrize("target", [*BACK, "collect", "post_restore"])
def test_restore_in_place_with_a_failure(tmp_path, failing, monkeypatch, target, at):
    """Either the whole old tree or the whole backup is there, never a mixture."""
    house = house_with(tmp_path, ("one",), post_restore={"command": "true"})
    house.backed_up()
    before = house.restore("before")
    (house.source / "a").write_bytes(b"changed")
    (house.source / "b" / "new").write_bytes(b"new")
    failing(target, at)
    with soon(), pytest.raises(Exception, match=target):
        restoring(house)
    monkeypatch.undo()
    done = at == "last" and target in ("collect", "post_restore")
    assert (house.source / "a").read_bytes() == (noise(300_000) if done else b"changed")
    assert (house.source / "b" / "new").exists() != done
    assert not (house.state / "journal" / "svc.json").exists()
    restoring(house)
    assert (house.source / "a").read_bytes() == (before / "a").read_bytes()
    assert not (house.source / "b" / "new").exists()


@pytest.mark.parametrize("at", ["first", "last"])
def test_prune_with_a_failure_at_one_destination(tmp_path, failing, at):
    house = house_with(tmp_path)
    for _ in range(3):
        house.backed_up(full=True)
    house = House(tmp_path, ("one", "two"), keep=1)
    failing("prune:one", at)
    events = []
    with soon():
        graph, outcome = pruning(house, events.append)
    assert_ends(graph, events, "prune:one")
    assert len(published(house, "two")) == 1
    assert len(published(house, "one")) == (3 if at == "first" else 1)
    assert list(outcome.failed) == ["prune:one"]


@pytest.mark.root
@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("target", "at"),
    sample([("warm", "first"), ("warm", "last"), ("stop", "first"), ("stop", "last"),
     ("collect", "first"), ("collect", "last"), ("start", "last"), ("gather", "first"),
     ("spool", "first"), ("upload:local", "first")]),
)  # fmt: skip
@pytest.mark.thorough
def test_containers_run_after_a_backup_with_a_failure(
    tmp_path, engine, three, failing, monkeypatch, target, at
):
    house = house_of(tmp_path, engine, *three)
    events = []
    failing(target, at)
    with soon():
        graph, result = backing_up(house, events.append)
    assert_ends(graph, events, target)
    assert result.status == "failed"
    assert engine.running(*three[:2])
    assert not engine.running(three[2])
    assert len(published(house, "local")) == (1 if target == "start" else 0)
    assert not (house.state / "journal" / "svc.json").exists()


@pytest.mark.root
@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    ("target", "at"),
    sample([("gather", "last"), ("stop", "first"), ("stop", "last"), ("collect", "first"),
     ("collect", "last"), ("start", "last")]),
)  # fmt: skip
def test_containers_run_after_a_restore_in_place_with_a_failure(
    tmp_path, engine, three, failing, monkeypatch, target, at
):
    house = house_of(tmp_path, engine, *three)
    house.backed_up()
    (house.source / "a").write_bytes(b"changed")
    failing(target, at)
    with soon(), pytest.raises(Exception, match=target):
        restoring(house)
    assert engine.running(*three[:2])
    assert not engine.running(three[2])
    done = (target, at) in [("collect", "last"), ("start", "last")]
    assert (house.source / "a").read_bytes() == (noise(100_000) if done else b"changed")
    assert not (house.state / "journal" / "svc.json").exists()
