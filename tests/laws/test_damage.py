"""Damage as users see it: restore, verify, list, and the next backup."""

import random
import shutil
from pathlib import Path

import pytest

from packrat.errors import explain
from packrat.restore.choose import choose
from tests.helpers.house import PASSWORD, House, cheap_keys, header_size
from tests.helpers.restoring import restore
from tests.helpers.sampling import sample
from tests.helpers.trees import differences, fill, noise
from vault.archive.format import TRAILER
from vault.archive.key_file import read_key_file
from vault.errors import Away, Damaged, NotThere, VaultError


@pytest.fixture(scope="module")
def sound(tmp_path_factory):
    """House with three archives, of which the last refers to both others."""
    house = House(tmp_path_factory.mktemp("sound"))
    fill(house.source, {"a": noise(40_000), "b/c": b"text " * 900, "b/d": b"", "e": noise(9000, 2)})
    house.backed_up()
    fill(house.source, {"b/e": noise(30_000, 5)})
    house.backed_up()
    fill(house.source, {"f": noise(20_000, 6)})
    house.backed_up()
    assert [len(item.summary.archives) for item in house.catalog().backups] == [0, 1, 2]
    return house


@pytest.fixture
def copy(sound, tmp_path):
    """Copy of that house, with its cache, that may be damaged."""
    house = House(tmp_path)
    shutil.copytree(sound.store, house.store)
    shutil.copytree(sound.source, house.source, dirs_exist_ok=True)
    assert len(house.catalog().backups) == 3
    return house


def same(house, out):
    """Return whether a restored tree is the source, except for times, which a copy may lack."""
    return not [one for one in differences(house.source, out) if "mtime" not in one]


def attempt(sound, house, backup):
    """Restore: all is right, or all except what it names; return the error, if any."""
    out = house.root / "out"
    program = house.program
    try:
        chosen = choose(program, "svc", backup)
        restored = restore(program, "svc", chosen, (), str(out))
    except VaultError as error:
        return error
    else:
        assert restored.partial == bool(restored.lost)
        if not restored.lost:
            assert differences(sound.source, out) == []
            return None
        for file in filter(Path.is_file, sound.source.rglob("*")):
            copy, name = out / file.relative_to(sound.source), str(file.relative_to(sound.source))
            assert copy.exists() == (name not in restored.lost)
            assert not copy.exists() or copy.read_bytes() == file.read_bytes()
            assert name not in restored.lost or name in restored.warnings[0]
        return Damaged("", restored.warnings[0])
    finally:
        shutil.rmtree(out, ignore_errors=True)


def broken(whole, place):
    data = bytearray(whole)
    data[place] ^= 1 << place % 8
    return bytes(data)


@pytest.mark.parametrize("victim", sample([0, 1, 2]))
@pytest.mark.parametrize("cached", [True, False])
def test_a_restore_of_damaged_archives_is_right_or_says_what_is_not(sound, copy, victim, cached):
    """With one bit flipped anywhere a restore writes correct data, or names archive and files."""
    path = copy.archives[victim]
    whole = path.read_bytes()
    ends = [*range(0, header_size(whole), 8), *range(len(whole) - TRAILER.size, len(whole), 8)]
    chance = random.Random(victim)
    places = ends + [chance.randrange(len(whole)) for _ in range(30)]
    newest = sound.catalog().backups[-1].summary.id[:8]
    found = []
    for place in places:
        path.write_bytes(broken(whole, place))
        if not cached:
            copy.forget()
        error = attempt(sound, copy, newest)
        found.append(type(error))
        if error is not None and (cached or isinstance(error, Damaged)):
            assert isinstance(error, Damaged)
            assert path.name in str(error)
        elif error is not None:  # it was detected when the destination was listed
            assert isinstance(error, NotThere)
            assert any(path.name in item.problem for item in copy.catalog().listed)
    assert Damaged in found


def test_verify_deep_reports_every_flipped_byte(copy):
    """Whatever byte of whatever archive is flipped, verify --deep says which archive is damaged."""
    wholes = {path: path.read_bytes() for path in copy.archives}
    chance = random.Random(3)
    for path, whole in wholes.items():
        for place in [
            0,
            20,
            71,
            len(whole) - 1,
            *(chance.randrange(len(whole)) for _ in range(30)),
        ]:
            path.write_bytes(broken(whole, place))
            bad = {verdict.name for verdict in copy.verify() if verdict.status == "damaged"}
            assert path.name in bad
        path.write_bytes(whole)
    assert {verdict.status for verdict in copy.verify()} == {"ok"}


def test_a_quick_verify_reads_both_ends_of_all(copy):
    """Without --deep, damage at either end of any archive is detected, too."""
    for path in copy.archives:
        whole = path.read_bytes()
        for place in (0, header_size(whole) - 1, len(whole) - 1, len(whole) - 40):
            path.write_bytes(broken(whole, place))
            bad = [verdict.name for verdict in copy.verify(deep=False) if verdict.status != "ok"]
            assert path.name in bad
        path.write_bytes(whole)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(("taken", "left"), [(0, 0), (1, 1), (2, 2)])
def test_an_archive_that_refers_to_a_lost_or_truncated_one_is_no_backup(copy, taken, left, cached):
    """Gone or truncated anywhere: the archives that refer to it are no longer listed."""
    path = copy.archives[taken]
    whole = path.read_bytes()
    for end in (
        None,
        0,
        1,
        header_size(whole),
        len(whole) // 2,
        len(whole) - TRAILER.size,
        len(whole) - 1,
    ):
        if end is None:
            path.unlink()
        else:
            path.write_bytes(whole[:end])
        if not cached:
            copy.forget()
        assert len(copy.catalog().backups) == left
        problems = [item.problem for item in copy.catalog().listed if item.problem]
        assert len(problems) == (end is not None)
        assert all(path.name in problem for problem in problems)
        path.write_bytes(whole)
        copy.forget()
        assert len(copy.catalog().backups) == 3


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize(
    "found", [[0, 2, 1], [1, 0, 2], [2, 1, 0], [0, 1, 0], [0, 1, 1], [0, 0, 2]]
)
def test_exchanged_and_replayed_archives_are_no_backups(copy, cached, found):
    """Exchanged archives, or an old one under a newer name: not listed, not restored, reported."""
    paths = copy.archives
    datas = [path.read_bytes() for path in paths]
    for path, number in zip(paths, found, strict=True):
        path.write_bytes(datas[number])
    if not cached:
        copy.forget()
    wrong = {paths[place].name for place, number in enumerate(found) if place != number}
    problems = [item.problem for item in copy.catalog().listed if item.problem]
    assert len(problems) == len(wrong)
    assert all(any(name in problem for problem in problems) for name in wrong)
    assert not wrong & {item.stored.name for item in copy.catalog().backups}
    assert paths[-1].name not in [item.stored.name for item in copy.catalog().backups]
    with pytest.raises(NotThere):
        copy.restore("out", paths[-1].stem[-8:])
    assert wrong <= {verdict.name for verdict in copy.verify() if verdict.status == "damaged"}


def test_padding_to_the_right_size_does_not_help(copy):
    """An older archive under the newest's name and with its size is detected, cache or not."""
    first, _, third = copy.archives
    size = third.stat().st_size
    third.write_bytes(first.read_bytes()[:size].ljust(size, b"\0"))
    with pytest.raises(Damaged, match=third.name):
        copy.restore("out", third.stem[-8:])


def test_a_rotten_newest_archive_does_not_end_all_backups(copy):
    """If the newest archive does not open, the next run builds on another one."""
    newest = copy.archives[-1]
    at = copy.catalog().open(newest.name, copy.program.keys).trailer.manifest_offset
    newest.write_bytes(broken(newest.read_bytes(), at + 5))
    fill(copy.source, {"g": b"new"})
    result = copy.back_up()
    assert (result.status, result.kind) == ("done", "incremental")
    assert any(newest.name in warning for warning in result.warnings)
    assert same(copy, copy.restore())
    assert {v.name for v in copy.verify() if v.status != "ok"} == {newest.name}


def test_a_rotten_index_of_the_parent_says_how_to_go_on(copy):
    """The parent opens, but not its index: an error that names it, and a way out."""
    newest = copy.archives[-1]
    archive = copy.catalog().open(newest.name, copy.program.keys)
    number = archive.manifest.index[0][2]
    newest.write_bytes(broken(newest.read_bytes(), archive.position(number)[0] + 5))
    result = copy.back_up()
    assert result.status == "failed"
    assert newest.name in result.error
    assert "packrat backup --full svc" in result.error
    assert copy.litter() == []
    copy.backed_up(full=True)
    assert same(copy, copy.restore())


def test_the_key_file_is_made_from_any_archive_that_is_left(copy):
    """Key file lost, and all archives but one damaged: rekey still finds the salt."""
    before = copy.key_file.read_bytes()
    copy.key_file.unlink()
    for path in copy.archives[1:]:
        path.write_bytes(b"rotten")
    done = copy.cli("rekey", "--password-file", copy.password_file(PASSWORD))
    assert done.returncode == 0, done.stderr
    assert read_key_file(str(copy.key_file)) == cheap_keys()
    assert copy.key_file.read_bytes() == before


def test_a_wrong_password_makes_no_key_file(copy):
    """With the key file lost, a wrong password ends with 7 and writes nothing."""
    copy.key_file.unlink()
    done = copy.cli("rekey", "--password-file", copy.password_file("not it"))
    assert done.returncode == 7
    assert not copy.key_file.exists()
    assert copy.litter() == []


def test_archives_under_another_key_are_locked(copy):
    """Another key sees them, does not list them as backups, never refers to them or prunes them."""
    other = cheap_keys("another", b"another salt 16.")
    catalog = copy.program.cache.catalog(copy.program.destination("local"), "svc", other)
    assert [item.locked for item in catalog.listed] == [True] * 3
    assert catalog.backups == []
    with pytest.raises(VaultError) as caught:
        catalog.open(copy.archives[0].name, other)
    assert explain(caught.value)[0] == 7


def test_a_destination_that_lists_nothing_any_more_is_away(copy):
    """An empty mount point that had backups is an error, until the user accepts it."""
    assert len(copy.catalog().backups) == 3
    for path in copy.archives:
        path.unlink()
    with pytest.raises(Away, match="now lists none"):
        copy.catalog()
    assert copy.back_up().status == "failed"
    assert copy.archives == []
