"""In-place restore as an exchange of two states, which an undo exchanges back."""

import os
import stat

import pytest

from stages import linux
from stages.errors import TargetError
from stages.in_place.folder import own_folders
from stages.in_place.record import read_records
from stages.in_place.recover import must_stand_still
from tests.helpers.forked import ended, forked
from tests.helpers.in_place import Place, set_aside
from tests.helpers.trees import fill


@pytest.fixture
def place(tmp_path):
    return Place(tmp_path).fill()


@pytest.fixture(params=["exchange", "renames"])
def either(request, place, monkeypatch):
    """With atomic exchanges, and on a filesystem that has no rename with flags."""
    if request.param == "renames":
        forbid_flags(monkeypatch)
    return place


def forbid_flags(monkeypatch):
    def refuse(*_):
        raise OSError(22, "Invalid argument")

    monkeypatch.setattr(linux, "exchange", refuse)
    monkeypatch.setattr(linux, "rename_noreplace", refuse)


def names_and_contents(state):
    return {name: found[:3] for name, found in state.items()}


def test_swap_brings_the_new_state_and_keeps_what_is_excluded(either):
    swapped = either.restore()
    assert either.look() == either.new
    assert swapped.left == ()
    assert set_aside(either.state, str(either.path)) == [swapped.folders[0]]
    found = os.stat(swapped.folders[0])
    assert (found.st_uid, stat.S_IMODE(found.st_mode)) == (os.geteuid(), 0o700)


def test_undo_brings_the_old_state_back_with_modes_and_times(either):
    either.restore()
    either.undo()
    assert either.look() == either.old


def test_undo_takes_out_what_was_written_since_and_deletes_nothing(either):
    either.restore()
    since = {"data/x": b"since 1", "a": b"since 2", "brand/new": b"since 3", "part/w": b"since 4"}
    fill(either.path, since)
    either.undo()
    assert set(either.look()) == set(either.old)
    assert either.look()["a"] == either.old["a"]
    assert set(since.values()) <= either.everywhere()


def test_undo_refuses_when_a_replaced_file_is_not_the_recorded_one(place):
    swapped = place.restore()
    os.rename(f"{swapped.folders[0]}/tree/a", f"{swapped.folders[0]}/tree/elsewhere")
    fill(place.path, {f"{swapped.folders[0]}/tree/a": b"forged"})
    before = place.look()
    with pytest.raises(TargetError, match="'a' is not as recorded"):
        place.undo()
    assert place.look() == before


def test_restores_are_undone_in_turn(place):
    states = []
    for number in range(3):
        fill(place.path, {"a": b"%d" % number})
        states.append(place.look()["a"])
        place.restore()
    for state in reversed(states):
        place.undo()
        assert place.look()["a"] == state


def test_only_the_named_paths_are_replaced(either):
    either.restore(paths=("data/x", "part/new"))
    after = either.look()
    assert after["data/x"] == either.new["data/x"]
    assert after["part/new"] == either.new["part/new"]
    unnamed = either.old.keys() - {"data/x"}
    assert {name: after[name] for name in unnamed} == {name: either.old[name] for name in unnamed}
    either.undo()
    assert either.look() == either.old


def test_forget_deletes_what_was_replaced_and_the_record(either):
    either.restore()
    result = either.forget()
    assert (result.folders, result.failed) == (1, ())
    assert read_records(either.state, "svc") == []
    assert not list(either.path.glob(".packrat*"))


def test_a_change_during_the_swap_ends_it_and_nothing_is_lost(place):
    """A running program replaces files between the check and the exchange."""

    def meddle():
        if (
            not must_stand_still(place.state, "svc", ready=True)
            or (place.path / "type").read_bytes() == b"meanwhile"
        ):
            return
        (place.path / "other").write_bytes(b"meanwhile")
        os.rename(place.path / "other", place.path / "type")

    with pytest.raises(TargetError, match="'type' is not the recorded"):
        place.restore(check=meddle)
    after = place.look()
    assert after["type"][1] == b"meanwhile"
    del after["type"], place.old["type"]
    assert after == place.old
    assert not must_stand_still(place.state, "svc", ready=True)


def test_a_change_is_put_back_even_if_the_process_is_killed_before_it_can(place):
    """Killed between the exchange that brought in an unknown file and its reversal."""
    real = linux.exchange

    def dying(*at):
        if at[1] == "type":
            (place.path / "other").write_bytes(b"meanwhile")
            os.replace(place.path / "other", place.path / "type")
        real(*at)
        if at[1] == "type":
            os._exit(9)

    def child():
        linux.exchange = dying
        place.restore()
        return 0

    assert ended(forked(child)) == 9
    assert place.recover().owed == ()
    assert (place.path / "type").read_bytes() == b"meanwhile"


def test_an_interrupted_restore_is_taken_up_again_and_another_one_is_not(place):
    with place.prepare() as staging:
        place.write(staging)
        name = staging.records[0].folder
    with place.prepare(archive="2" * 32) as other:
        assert not other.again
        assert other.records[0].folder != name
    with place.prepare() as again:
        assert again.again
        assert again.records[0].folder == name


def test_a_folder_in_the_way_is_left_alone(place):
    with place.prepare() as staging:
        name = staging.records[0].folder
    place.forget()
    fill(place.path, {f"{name}/mine": b"a user's"})
    swapped = place.restore()
    assert os.path.basename(swapped.folders[0]) != name
    assert b"a user's" in place.everywhere()


def test_own_folders_are_known_to_every_service_and_after_a_rename(place):
    swapped = place.restore()
    state = os.stat(swapped.folders[0])
    os.rename(swapped.folders[0], place.path / "renamed")
    for path in (None, str(place.path), str(place.base)):
        assert own_folders(place.state, path) == {(state.st_dev, state.st_ino)}
    place.undo()
    assert place.look() == place.old


def test_a_folder_that_no_record_knows_is_not_packrats(place):
    fill(place.path, {".packrat-restore-20260101T000000Z/tree/a": b"1"})
    assert own_folders(place.state, str(place.path)) == set()
    assert set_aside(place.state, str(place.path)) == []


def test_a_service_that_moved_can_be_undone_at_its_new_path(place):
    place.restore()
    place.path = place.path.rename(place.base / "moved")
    place.undo()
    assert place.look() == place.old


def test_another_folder_at_the_path_is_not_touched(place):
    place.restore()
    place.path.rename(place.base / "moved")
    fill(place.path, {"a": b"another one"})
    with pytest.raises(TargetError, match="is not the folder"):
        place.undo()
    assert [p.name for p in place.path.iterdir()] == ["a"]


def test_excluded_by_now_stays_and_is_named(place):
    place.exclude = (*place.exclude, "/data/x", "/part/new")
    swapped = place.restore()
    assert [(left.path, left.why) for left in swapped.left] == [("data/x", "excluded")]
    assert place.look()["data/x"] == place.old["data/x"]
    assert place.look()["data/z"] == place.new["data/z"]
    place.exclude = ()
    place.undo()
    assert place.look() == place.old


def test_without_file_handles_inode_birth_time_and_type_decide(place, monkeypatch):
    """As in a container whose seccomp profile forbids the call."""
    real = linux.handle_of

    def refuse(*_):
        raise OSError(1, "Operation not permitted")

    monkeypatch.setattr(linux, "handle_of", refuse)
    place.restore()
    [record] = read_records(place.state, "svc")
    assert {s.old.kind for s in record.steps if s.old} == {"birth"}
    monkeypatch.setattr(linux, "handle_of", real)
    place.undo()
    assert place.look() == place.old


def test_without_any_identity_nothing_is_moved(place, monkeypatch):
    def refuse(*_):
        raise OSError(95, "Operation not supported")

    real = linux.state_of

    def no_birth(*at):
        found = real(*at)
        return linux.State(found.device, found.inode, found.mode, None, found.mount)

    monkeypatch.setattr(linux, "handle_of", refuse)
    monkeypatch.setattr(linux, "state_of", no_birth)
    with pytest.raises(TargetError, match="cannot be told"):
        place.prepare()
    assert place.look() == place.old


def test_an_error_of_a_later_step_undoes_those_before(place, monkeypatch):
    """EXDEV occurs with an overlay, a subvolume or a quota."""
    real, calls = linux.exchange, []

    def refuse(*at):
        calls.append(at)
        if len(calls) == 4:
            raise OSError(18, "Invalid cross-device link", at[1])
        real(*at)

    monkeypatch.setattr(linux, "exchange", refuse)
    with pytest.raises(TargetError, match="cross-device"):
        place.restore()
    assert place.look() == place.old


def test_an_unexpected_error_of_the_trial_ends_it_before_the_first_move(place, monkeypatch):
    def refuse(*_):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(linux, "exchange", refuse)
    with pytest.raises(TargetError, match="Input/output"):
        place.prepare()
    assert names_and_contents(place.look()) == names_and_contents(place.old)


def test_a_tree_of_2_000_levels_is_exchanged_undone_and_deleted(place):
    """This is deeper than a process may open files by default, and than Python recurses."""
    folder = os.open(place.path, os.O_RDONLY)
    for _ in range(2000):
        os.mkdir("d", dir_fd=folder)
        inner = os.open("d", os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(os.open("bottom", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    with pytest.raises(TargetError, match="is not the recorded"):  # and one taken back
        place.restore(check=replacing(place))
    place.restore()
    assert not (place.path / "d").exists()
    place.undo()
    assert (place.path / "d").exists()
    place.restore()
    assert place.forget().failed == ()


def replacing(place):
    """Replace the file `type` once the swap has begun, as another program would."""

    def meddle():
        if must_stand_still(place.state, "svc", ready=True):
            (place.path / "other").write_bytes(b"meanwhile")
            os.replace(place.path / "other", place.path / "type")

    return meddle
