"""Odd sources: what cannot be read or represented is skipped with a warning."""

import errno
import itertools
import json
import os

import pytest

from tests.helpers.hostile_fs import mounted
from tests.helpers.house import House
from tests.helpers.sampling import sample
from tests.helpers.trees import differences

pytestmark = pytest.mark.root
ALWAYS = [1, 10**9]


@pytest.fixture(scope="module")
def hostile(tmp_path_factory):
    with mounted(tmp_path_factory.mktemp("odd")) as at:
        yield (*at, itertools.count(1))


@pytest.fixture
def source(hostile, tmp_path):
    """Make a house whose source is this tree: path -> the special properties of a node."""
    mount, plans, numbers = hostile

    def make(tree, **settings):
        number = str(next(numbers))
        inodes = itertools.count(100)
        usual = {"type": "file", "mode": 0o755, "uid": 0, "gid": 0, "mtime": 10**18}
        plan = {
            path: usual | {"ino": next(inodes)} | node
            for path, node in ({"": {"type": "dir"}} | tree).items()
        }
        (plans / f"{number}.json").write_text(json.dumps(plan))
        return House(tmp_path, settings={"path": str(mount / number)} | settings)

    return make


def test_a_name_that_is_listed_twice_is_stored_once(source):
    """XFS lists a name twice if its file is deleted and created again meanwhile."""
    house = source({"": {"type": "dir", "again": ["twice"]}, "twice": {"content": "x"}})
    result = house.back_up()
    assert (result.status, result.warnings) == ("done", [])
    assert [verdict.status for verdict in house.verify()] == ["ok"]
    assert os.listdir(house.restore()) == ["twice"]


def test_a_folder_without_readable_attributes_keeps_its_content(source):
    """Every backup warns of it, even if nothing has changed."""
    house = source(
        {
            "d": {"type": "dir", "faults": {"listxattr": [errno.EIO, *ALWAYS]}},
            "d/file": {"content": "important"},
        }
    )
    for _ in range(2):
        result = house.back_up()
        warning = "'d' is stored without its extended attributes: Input/output error"
        assert (result.status, result.warnings) == ("done", [warning])
    assert (house.restore() / "d" / "file").read_text() == "important"


def test_one_unreadable_attribute_costs_no_other(source):
    """The other attributes and the file are stored."""
    house = source(
        {
            "f": {
                "content": "x",
                "xattrs": {"user.a": "1", "user.b": "2"},
                "faults": {"getxattr": [errno.EIO, 1, 2]},
            }
        }
    )
    assert house.back_up().warnings == [
        "'f' is stored without its attribute 'user.a': Input/output error"
    ]
    assert os.listxattr(house.restore() / "f") == ["user.b"]


def test_many_files_with_the_same_loss_are_counted(source):
    """A share without attributes may have a million files: twenty are named."""
    fault = {"content": "x", "faults": {"listxattr": [errno.EIO, *ALWAYS]}}
    house = source({f"{number:02}": fault for number in range(25)})
    warnings = house.back_up().warnings
    assert len(warnings) == 21
    assert warnings[-1] == "5 more: is stored without its extended attributes"


def test_a_name_that_is_listed_and_not_found_is_missed(source):
    """It was not deleted: some network filesystems cannot find some of their own names."""
    house = source({"": {"type": "dir", "again": ["ghost"]}, "real": {"content": "x"}})
    result = house.back_up()
    assert result.status == "partial"
    assert "'ghost' is not in this backup: No such file or directory" in result.warnings


@pytest.mark.parametrize("size", [100, 2_000_000, 2**42])
def test_a_file_that_is_shorter_than_it_says_ends_where_it_ends(source, size):
    """Its size may be any number: nothing is read beyond the end."""
    house = source({"f": {"content": "short", "size": size}})
    result = house.back_up()
    assert result.warnings == [f"'f' ends after 5 of the {size:,} bytes that it reports"]
    assert (house.restore() / "f").read_text() == "short"


def test_a_file_too_large_to_be_stored_is_missed_before_it_is_read(source):
    """Four exbibytes of data would need more references than an index allows."""
    house = source({"f": {"content": "x", "size": 2**62}, "g": {"content": "x"}})
    result = house.back_up()
    assert (result.status, result.read) == ("partial", 1)
    assert "'f' is not in this backup: has more than 8 TiB of data" in result.warnings


def test_excluded_files_are_not_examined(source):
    """A dead mount that a pattern excludes is not missed."""
    dead = {"faults": {"getattr": [errno.ENOTCONN, *ALWAYS]}}
    house = source(
        {"dead": dead, "keys/a.pem": dead, "keys": {"type": "dir"}}, exclude=["dead", "*.pem"]
    )
    result = house.back_up()
    assert (result.status, result.warnings) == ("done", [])


def test_a_pattern_for_folders_alone_does_not_hide_an_unreadable_file(source):
    """It is unknown without a look if `dead/` matches, so the file is missed."""
    house = source({"dead": {"faults": {"getattr": [errno.EIO, *ALWAYS]}}}, exclude=["dead/"])
    assert house.back_up().status == "partial"


def test_a_recycled_inode_does_not_mix_contents(source):
    """Two files with one inode in one backup: the first was deleted when the second came."""
    shared = {"ino": 77, "nlink": 2}
    house = source(
        {
            "a1": shared | {"content": "content of A"},
            "a2": shared | {"content": "content of A"},
            "b1": shared | {"content": "content of B", "mtime": 10**18 + 1},
            "b2": shared | {"content": "content of B", "mtime": 10**18 + 1},
        }
    )
    warnings = house.back_up().warnings
    assert [warning[:4] for warning in warnings] == ["'b1'", "'b2'"]
    out = house.restore()
    assert [(out / name).read_text()[-1] for name in ("a1", "a2", "b1", "b2")] == [*"AABB"]
    assert (out / "a1").samefile(out / "a2")
    assert (out / "b1").samefile(out / "b2")
    assert not (out / "a1").samefile(out / "b1")


def test_a_source_that_cannot_be_listed_ends_the_backup(source):
    """An empty backup must not pass for one of the data."""
    house = source({"": {"type": "dir", "faults": {"readdir": [errno.EIO, *ALWAYS]}}})
    result = house.back_up()
    assert result.status == "failed"
    assert "cannot list the service's folder: Input/output error" in result.error


@pytest.mark.parametrize("folder", sample([".packrat-before-20200101T000000Z", ".packrat-restore"]))
def test_a_fifo_in_a_folder_that_looks_like_packrats_own_stops_nothing(house, folder):
    """Packrat opens nothing that a service's user has planted; it is data like any other."""
    planted = house.source / folder
    planted.mkdir()
    os.mkfifo(planted / ".packrat-steps")
    (planted / "deep.json").write_text("[" * 100_000)
    for words in (["backup", "svc"], ["plan", "svc", "--restore"], ["list"]):
        done = house.cli(*words, wrap=("timeout", "60"))
        assert done.returncode == 0, done.stdout + done.stderr
    assert differences(house.source, house.restore()) == []
