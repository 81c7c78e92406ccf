"""Versions of a file across backups, and the marks of files that have changed since."""

import os

import pytest

from packrat.browse.library import AllBackups
from packrat.picker.available import BackupFinder, rows_of
from packrat.picker.present import Present, compare
from packrat.picker.tree import Item, Tree
from packrat.picker.versions import versions_of
from packrat.restore.choose import choose
from packrat.restore.opened import OpenedBackup
from tests.helpers.house import House
from tests.helpers.screen import screen
from tests.helpers.trees import fill
from vault.browse import PackratFileSystem


@pytest.fixture(scope="module")
def house(tmp_path_factory):
    """Five backups: `a` changes, goes and comes back; `b` only gets another mode."""
    house = House(tmp_path_factory.mktemp("versions"))
    for n, content in enumerate((b"one", b"one", b"two!", None, b"two!")):
        (house.source / "a").unlink(missing_ok=True)
        fill(house.source, {"b": b"same", f"new-{n}": b""} | ({"a": content} if content else {}))
        os.utime(house.source / "b", ns=(10**18, 10**18))
        (house.source / "b").chmod(0o600 + n // 4)
        if content:
            os.utime(house.source / "a", ns=(10**18, 10**18))
        house.backed_up()
    return house


def found(house, path):
    library = AllBackups(house.program)
    backups = library.backups(house.service)
    versions, failed = versions_of(PackratFileSystem(library), house.service, backups, path)
    return [
        (len(one.backups), one.entry.size, one.changed, one.deleted) for one in versions
    ], failed


def test_versions_follow_a_file_through_changes_and_deletion(house):
    assert found(house, "a") == (
        [(1, 4, (), False), (1, 4, ("content",), True), (2, 3, (), False)],
        [],
    )
    assert found(house, "b") == ([(1, 4, ("mode",), False), (4, 4, (), False)], [])
    assert found(house, "nowhere") == ([], [])


def test_a_backup_that_cannot_be_read_is_named_and_left_out(house):
    """The other versions are still found."""
    program = house.program
    library = AllBackups(program)
    backups = library.backups(house.service)
    damaged = house.archives[2]
    data = damaged.read_bytes()
    damaged.write_bytes(data[:1000] + bytes(len(data) - 1000))
    versions, failed = versions_of(PackratFileSystem(library), house.service, backups, "a")
    damaged.write_bytes(data)
    assert [len(one.backups) for one in versions][-1] == 2
    assert any(damaged.stem[-8:] in sentence for sentence in failed)


def test_an_older_version_is_restored_alone(house):
    """`v` on a file leads from the newest backup to another one, with this file as selection."""
    out = house.root / "out"
    with screen(house, "restore", "svc", "--to", str(out)) as shown:
        shown.until("Which backup")
        shown.keys("Enter")
        shown.until("What of")
        shown.keys("Down", "Enter")
        shown.until("nothing selected yet")
        shown.keys("Down", "Space", "Up", "v")
        text = shown.until("Restore which version of a?", "the oldest")
        assert "content changed, then deleted" in text
        assert "back again" in text
        shown.keys("End", "Enter")
        plan = shown.until("Restore?", "back")
        assert "1 file, 3 B" in plan
        shown.keys("Enter")
        shown.until("EXIT 0")
    assert {path.name: path.read_bytes() for path in out.iterdir()} == {"a": b"one"}


def test_files_are_compared_with_those_that_are_there_now(house):
    """By type, size and time; a symlink out of the folder is not followed."""
    opened = OpenedBackup("svc", choose(house.program, "svc"), house.program.keys)
    outside = house.root / "outside"
    outside.mkdir()
    tree = Tree(opened.entries())
    items = {tree.path(number): tree.item(number) for number in range(len(tree))}
    with_folder = Item("folder/inside", folder=False, files=1, size=4)
    (outside / "inside").write_bytes(b"same")
    (house.source / "folder").symlink_to(outside)
    (house.source / "new-0").unlink()
    os.utime(house.source / "new-1", ns=(5, 5))
    (house.source / "new-2").unlink()
    (house.source / "new-2").mkdir()
    (house.source / "b").write_bytes(b"longer")
    os.utime(house.source / "b", ns=(10**18, 10**18))
    root = os.open(house.source, os.O_RDONLY)
    marks = {path: compare(root, path, item) for path, item in items.items() if path}
    assert marks == {
        "a": "",
        "b": "changed",
        "new-0": "gone",
        "new-1": "changed",
        "new-2": "changed",
        "new-3": "",
        "new-4": "",
    }
    assert compare(root, with_folder.path, with_folder) == "gone"
    os.close(root)


def test_a_folder_that_is_not_there_marks_nothing(house):
    """A service that was never restored on this machine has nothing to compare with."""
    present = Present({"": str(house.root / "nowhere")}, lambda: None)
    assert present.mark(Item("a", folder=False, files=1, size=3)) == ""


def test_backups_of_one_second_differ_in_their_rows(house):
    """The seconds appear only where two are of one minute, and the id always."""
    choices = BackupFinder(house.program).find("svc").choices
    rows = rows_of(choices, 120)
    assert len(set(rows)) == 5
    assert all(choice.name[-16:-8] in row for choice, row in zip(choices, rows, strict=True))
    assert "newest" in rows[0]
    assert "the oldest" in rows[-1]
    assert "1 fewer file" not in rows[1]  # new-3 came as a went
    assert max(map(len, rows_of(choices, 56))) <= 56
