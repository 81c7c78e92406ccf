"""In-place restores with other filesystems mounted inside, at the top, and after a reboot."""

import os
import subprocess

import pytest

from stages import linux
from stages.errors import TargetError
from stages.in_place.record import read_records
from tests.helpers.disks_in_place import mounted
from tests.helpers.in_place import Place
from tests.helpers.needs import need_mounts
from tests.helpers.trees import fill

pytestmark = pytest.mark.root


def test_a_disk_mounted_inside_stays_through_swap_undo_and_forget(tmp_path):
    """The paths of the backup below the mount point are named; nothing there is changed."""
    place = Place(tmp_path).fill()
    with mounted(tmp_path / "disk", place.path / "data" / "deep") as disk:
        fill(disk, {"precious": b"on the second disk"})
        fill(place.backup, {"data/deep/precious": b"from the backup"})
        swapped = place.restore()
        assert [(left.path, left.why) for left in swapped.left] == [("data/deep", "mount")]
        assert (place.path / "data" / "x").read_bytes() == b"new x"
        assert (disk / "precious").read_bytes() == b"on the second disk"
        assert os.path.ismount(place.path / "data" / "deep")
        place.undo()
        assert (place.path / "data" / "x").read_bytes() == b"old x"
        assert os.path.ismount(place.path / "data" / "deep")
        assert place.forget().failed == ()
        assert (disk / "precious").read_bytes() == b"on the second disk"


def test_a_mounted_file_stays(tmp_path):
    need_mounts()
    place = Place(tmp_path).fill()
    fill(tmp_path, {"outside": b"mounted over it"})
    subprocess.run(["mount", "--bind", tmp_path / "outside", place.path / "data" / "x"], check=True)
    try:
        swapped = place.restore()
        assert [(left.path, left.why) for left in swapped.left] == [("data/x", "mount")]
        assert (place.path / "data" / "x").read_bytes() == b"mounted over it"
        assert (place.path / "data" / "z").read_bytes() == b"new z"
    finally:
        subprocess.run(["umount", place.path / "data" / "x"], check=True)


def test_a_disk_mounted_since_the_restore_keeps_undo_from_moving_it(tmp_path):
    place = Place(tmp_path).fill()
    place.restore()
    with mounted(tmp_path / "disk", place.path / "data" / "disk") as disk:
        fill(disk, {"precious": b"1"})
        before = place.look()
        with pytest.raises(TargetError, match="'data/disk' is a mount point"):
            place.undo()
        assert place.look() == before


def test_forget_never_crosses_into_a_disk_mounted_in_a_replaced_folder(tmp_path):
    place = Place(tmp_path).fill()
    swapped = place.restore()
    with mounted(tmp_path / "disk", tmp_path / "disk-at") as disk:
        fill(disk, {"precious": b"1"})
        inside = f"{swapped.folders[0]}/tree/data/deep"
        subprocess.run(["mount", "--bind", disk, inside], check=True)
        try:
            result = place.forget()
            assert len(result.failed) >= 1
            assert "another filesystem is mounted" in result.failed[0]
            assert (disk / "precious").read_bytes() == b"1"
        finally:
            subprocess.run(["umount", inside], check=True)
        assert place.recover().pending == ()
        assert read_records(place.state, "svc") == []
        assert not list(place.path.glob(".packrat*"))


@pytest.mark.parametrize("kind", ["ext4", "xfs"])
def test_the_folder_may_be_a_mount_point_and_have_another_device_after_a_reboot(tmp_path, kind):
    """The image is mounted again on another loop device, as disks may be after a reboot."""
    place, image = Place(tmp_path), tmp_path / "image"
    size = 32 if kind == "ext4" else 320
    with mounted(image, place.path, kind, size) as root:
        if (root / "lost+found").exists():
            (root / "lost+found").rmdir()
        place.fill()
        place.restore()
        assert place.look() == place.new
        was = os.stat(root).st_dev
    with mounted(tmp_path / "other", tmp_path / "elsewhere"), mounted(image, place.path) as root:
        assert os.stat(root).st_dev != was
        place.undo()
        assert place.look() == place.old


def test_a_bind_mounted_folder_can_be_restored_and_undone(tmp_path):
    """This is how a container sees the host's folder."""
    need_mounts()
    place = Place(tmp_path).fill()
    real, place.path = place.path, tmp_path / "seen"
    place.path.mkdir()
    subprocess.run(["mount", "--bind", real, place.path], check=True)
    try:
        place.restore()
        assert place.look() == place.new
        place.undo()
        assert place.look() == place.old
    finally:
        subprocess.run(["umount", place.path], check=True)


def test_when_the_disk_is_not_mounted_nothing_is_touched(tmp_path):
    place, image = Place(tmp_path), tmp_path / "image"
    with mounted(image, place.path) as root:
        (root / "lost+found").rmdir()
        place.fill()
        place.restore()
    fill(place.path, {"a": b"below the mount point"})
    with pytest.raises(TargetError, match="is not the folder"):
        place.undo()
    assert place.forget().folders == 0
    assert (place.path / "a").read_bytes() == b"below the mount point"
    with mounted(image, place.path):
        assert place.recover().pending == ()
        assert not list(place.path.glob(".packrat*"))


@pytest.mark.parametrize("handles", [True, False], ids=["handle", "birth time"])
def test_a_recycled_inode_is_not_taken_for_the_recorded_file(tmp_path, monkeypatch, handles):
    """ext4 gives the inode number of a deleted file to the next one."""
    place = Place(tmp_path)
    if not handles:

        def refuse(*_):
            raise OSError(95, "Operation not supported")

        monkeypatch.setattr(linux, "handle_of", refuse)
    with mounted(tmp_path / "image", place.path) as root:
        (root / "lost+found").rmdir()
        place.fill()
        swapped = place.restore()
        kept = f"{swapped.folders[0]}/tree/a"
        inode = os.stat(kept).st_ino
        os.unlink(kept)
        for number in range(500):  # until the allocator returns to the freed number
            fill(place.path, {kept if number == 499 else f"{kept}{number}": b"forged"})
            if os.stat(kept if number == 499 else f"{kept}{number}").st_ino == inode:
                os.rename(f"{kept}{number}", kept)
                break
        assert os.stat(kept).st_ino == inode
        before = place.look()
        with pytest.raises(TargetError, match="'a' is not as recorded"):
            place.undo()
        assert place.look() == before


def test_an_overlay_is_left_as_it_was_where_it_cannot_move_folders(tmp_path):
    """Folders of the lower layer cannot be renamed: EXDEV, after other steps were taken."""
    need_mounts()
    place = Place(tmp_path)
    lower, upper, work = (tmp_path / name for name in ("lower", "upper", "work"))
    place.path = lower
    place.fill()
    for folder in (upper, work, tmp_path / "svc"):
        folder.mkdir(exist_ok=True)
    place.path = tmp_path / "svc"
    layers = f"lowerdir={lower},upperdir={upper},workdir={work},redirect_dir=off"
    subprocess.run(["mount", "-t", "overlay", "overlay", "-o", layers, place.path], check=True)
    try:
        place.old = place.look()
        with pytest.raises(TargetError, match="overlay filesystem copied it"):
            place.restore()
        assert place.look() == place.old
    finally:
        subprocess.run(["umount", place.path], check=True)
