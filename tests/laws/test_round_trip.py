"""Law 1: what a restore writes equals what the backup read."""

import ctypes
import os
import socket
import stat
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.helpers.house import House
from tests.helpers.needs import need, need_readable_code
from tests.helpers.sampling import examples
from tests.helpers.trees import differences, noise

NS_1901, NS_2100 = -2_000_000_000_123_456_789, 4_102_444_800_987_654_321


@pytest.fixture
def strange(house):
    """Source with everything that a filesystem can store."""
    root = house.source
    (root / "empty").write_bytes(b"")
    (root / "folder" / "empty folder").mkdir(parents=True)
    (root / "folder" / "one").write_bytes(b"content of two names")
    os.link(root / "folder" / "one", root / "zwei")
    os.symlink("/absolute/target", root / "absolute")
    os.symlink("nowhere", root / "dangling")
    os.symlink("loop", root / "loop")
    os.link(root / "dangling", root / "dangling too", follow_symlinks=False)
    os.mkfifo(root / "fifo")
    os.mknod(root / "null", stat.S_IFCHR | 0o666, os.makedev(1, 3))
    os.mknod(root / "disk", stat.S_IFBLK | 0o600, os.makedev(7, 0))
    (root / "setuid").write_bytes(b"#!")
    os.chown(root / "setuid", 1234, 4321)
    os.chmod(root / "setuid", 0o6755)
    (root / "sticky").mkdir(mode=0o700)
    os.chmod(root / "sticky", 0o1777)
    os.setxattr(root / "empty", "user.colour", b"\x00blue\xff")
    os.setxattr(root / "folder", "user.of.folder", b"")
    # cap_net_raw=ep, as ping has it; a change of owner would drop it.
    os.setxattr(
        root / "empty", "security.capability", struct.pack("<IIIII", 0x02000001, 8192, 0, 0, 0)
    )
    subprocess.run([need("setfacl"), "-m", "u:1234:r,g:77:rw", root / "setuid"], check=True)
    subprocess.run([need("setfacl"), "-d", "-m", "u:1234:rwx", root / "folder"], check=True)
    (root / "name\nwith newline").write_bytes(b"n")
    (root / ("ü" * 127 + "x")).write_bytes(b"255 bytes")
    Path(os.fsdecode(os.fsencode(root) + b"/not\xff\xfeutf8")).write_bytes(b"bytes")
    (root / "a-b").write_bytes(b"comes after a/b")
    (root / "a").mkdir()
    (root / "a" / "b").write_bytes(noise(700_000))
    (root / "big").write_bytes(noise(9_000_000, 2))
    deep = os.open(root, os.O_RDONLY)
    for _ in range(16):
        os.mkdir("d" * 249, dir_fd=deep)
        inner = os.open("d" * 249, os.O_RDONLY, dir_fd=deep)
        os.close(deep)
        deep = inner
    os.close(os.open("leaf", os.O_CREAT | os.O_WRONLY, dir_fd=deep))
    os.close(deep)
    with open(root / "sparse", "wb") as file:
        file.truncate(5 << 30)
        for place in range(4):
            file.seek((place * 1_500_000_000) | 1)
            file.write(noise(1 << 18, place))
    with open(root / "hole", "wb") as file:
        file.truncate(1 << 28)
    os.utime(root / "empty", ns=(0, NS_1901))
    os.utime(root / "big", ns=(0, NS_2100))
    os.utime(root / "dangling", ns=(5, 6_000_000_007), follow_symlinks=False)
    os.utime(root / "folder" / "empty folder", ns=(1, 1))
    os.utime(root / "folder", ns=(2, 1_000_000_001))
    return root


def deep_names(root: Path) -> int:
    """Return the number of names below the path of 4,000 bytes, through directory handles."""
    fd, depth = os.open(root, os.O_RDONLY), 0
    while "leaf" not in (names := os.listdir(fd)):
        inner = os.open(next(n for n in names if n.startswith("ddd")), os.O_RDONLY, dir_fd=fd)
        os.close(fd)
        fd, depth = inner, depth + 1
    os.close(fd)
    return depth


@pytest.mark.root
def test_everything_a_file_system_holds_comes_back(strange, house):
    """Every type, mode, owner, time, link, hole, attribute and name survives."""
    path = house.backed_up()
    out = house.restore()
    assert deep_names(out) == deep_names(strange) == 16
    for root in (strange, out):  # same_tree uses paths, which end at 4,096 bytes
        subprocess.run(["find", root, "-depth", "-path", "*/dddd*", "-delete"], check=False)
        subprocess.run(["bash", "-c", f"cd {root} && rm -rf dddd*"], check=True)
        os.utime(root, ns=(0, 0))
    assert differences(strange, out) == []
    assert (out / "sparse").stat().st_blocks * 512 < 4 << 20
    assert path.stat().st_size < 12 << 20


def test_a_second_hard_link_alone_brings_its_content(house):
    """`--path` of a name that shares its file with another one needs no other name."""
    (house.source / "one").write_bytes(noise(5_000_000))
    os.link(house.source / "one", house.source / "two")
    os.setxattr(house.source / "one", "user.x", b"kept")
    house.backed_up()
    out = house.restore("out", "latest", "two")
    assert os.listdir(out) == ["two"]
    assert (out / "two").read_bytes() == noise(5_000_000)
    assert os.getxattr(out / "two", "user.x") == b"kept"


def test_restored_files_inherit_no_acl_of_the_target(house):
    """A target whose default ACL lets others in does not pass it on to restored files."""
    (house.source / "folder").mkdir()
    for path in ("private", "folder/private"):
        (house.source / path).write_bytes(b"p")
        (house.source / path).chmod(0o640)
    house.backed_up()
    subprocess.run([need("setfacl"), "-d", "-m", "u:1234:rwx", house.root], check=True)
    out = house.restore()
    assert differences(house.source, out) == []
    assert os.listxattr(out / "folder") == os.listxattr(out / "folder" / "private") == []


@pytest.mark.root
@pytest.mark.parametrize("umask", [0, 0o022, 0o077, 0o777])
@pytest.mark.parametrize("group", [0, 1234])
def test_owner_and_mode_are_independent_of_those_of_new_files(house, umask, group):
    """A umask and a set-group-id folder affect new files, but not restored ones."""
    for mode in (0o000, 0o400, 0o600, 0o644, 0o666, 0o755, 0o777, 0o2755, 0o4711, 0o6777):
        for owner in ((0, 0), (0, 1234), (1000, 0)):
            for size in (0, 10, 300_000, 1_500_000):
                file = house.source / f"d{owner[1]}" / f"{mode:o} {owner[0]} {size}"
                file.parent.mkdir(exist_ok=True)
                file.write_bytes(noise(size, mode + size))
                os.chown(file, *owner)
                file.chmod(mode)
    house.backed_up()
    out = house.root / "out"
    out.mkdir()
    os.chown(out, 0, group)
    out.chmod(0o2775)
    before = os.umask(umask)
    try:
        house.restore()
    finally:
        os.umask(before)
    assert differences(house.source, out) == []


def test_a_socket_is_reported_and_the_rest_is_backed_up(house):
    """A socket cannot be stored: a warning reports it, and the run is still done."""
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(house.source / "sock"))
        (house.source / "file").write_bytes(b"x")
        result = house.back_up()
    assert result.status == "done"
    assert [w for w in result.warnings if "'sock'" in w and "socket" in w]
    assert os.listdir(house.restore()) == ["file"]


@pytest.mark.root
def test_an_unreadable_file_makes_a_partial_backup_of_the_rest(tmp_path, monkeypatch):
    """An unreadable file is named, everything else is stored, and the exit status is 5."""
    need_readable_code()
    house = House(tmp_path / "house")
    (house.source / "good").write_bytes(b"g")
    (house.source / "secret").write_bytes(b"s")
    (house.source / "closed").mkdir(mode=0o000)
    os.chmod(house.source / "secret", 0)
    subprocess.run(["chown", "-R", "65534:65534", tmp_path], check=True)
    for folder in (tmp_path, *tmp_path.parents[:-2]):
        os.chmod(folder, 0o755)
    done = house.cli("backup", "svc", wrap=("setpriv", "--reuid", "65534", "--clear-groups"))
    assert done.returncode == 5, done.stderr
    assert "'secret' is not in this backup: Permission denied" in done.stderr
    assert "'closed' is not in this backup: Permission denied" in done.stderr
    monkeypatch.setenv("PACKRAT_TRUST_UID", "65534")  # the files belong to that user now
    assert os.listdir(house.restore()) == ["good"]


@pytest.mark.thorough
def test_a_folder_of_100_000_entries_comes_back(house):
    """The number of entries in one folder does not matter."""
    for number in range(100_000):
        (house.source / f"{number}").touch()
    house.backed_up()
    assert sorted(os.listdir(house.restore())) == sorted(os.listdir(house.source))


def test_a_file_written_through_mmap_is_in_the_next_backup(house):
    """A page written before and after a backup, without a new mtime between, is not missed."""
    import mmap

    file = house.source / "database"
    file.write_bytes(bytes(1 << 20))
    if subprocess.run(
        ["stat", "-f", "-c", "%T", house.source], capture_output=True, text=True, check=True
    ).stdout.strip() not in ("ext2/ext3", "xfs", "btrfs"):
        pytest.skip("needs ext4, xfs or btrfs: others do not stamp mapped writes")
    with open(file, "r+b") as handle, mmap.mmap(handle.fileno(), 0) as mapped:
        mapped[0:5] = b"first"
        ctypes.CDLL(None).usleep(2_200_000)  # the page is dirty, and its file looks old enough
        house.backed_up()
        stamp = file.stat().st_mtime_ns
        mapped[0:5] = b"later"
        house.backed_up()
        assert (house.restore() / "database").read_bytes()[:5] == b"later"
        assert file.stat().st_mtime_ns >= stamp


names = st.text(
    st.characters(codec="utf-8", exclude_characters="/\0", exclude_categories=["Cs"]),
    min_size=1,
    max_size=20,
).filter(lambda name: name not in (".", "..") and len(name.encode()) < 200)
contents = st.one_of(
    st.binary(max_size=200),
    st.builds(
        noise, st.sampled_from([0, 4096, 262_144, 262_145, 1 << 20, 3_000_000]), st.integers(0, 3)
    ),
)
trees = st.recursive(
    contents, lambda inner: st.dictionaries(names, inner, max_size=5), max_leaves=12
)


def lay_out(root: Path, tree: dict) -> None:
    for name, value in tree.items():
        if isinstance(value, dict):
            (root / name).mkdir()
            lay_out(root / name, value)
        else:
            (root / name).write_bytes(value)


@settings(max_examples=examples(8))
@given(st.lists(st.dictionaries(names, trees, max_size=5), min_size=1, max_size=3))
def test_any_tree_and_any_change_to_it_comes_back(tmp_path_factory, states):
    """Each of several states of a service, one backup after another, restores as it was."""
    house = House(tmp_path_factory.mktemp("any"))
    kept = []
    for number, state in enumerate(states):
        (house.source / "always").write_bytes(b"x")
        for entry in os.listdir(house.source):
            if entry != "always":
                subprocess.run(["rm", "-rf", house.source / entry], check=True)
        lay_out(house.source, {k: v for k, v in state.items() if k != "always"})
        archive = house.backed_up()
        copy = house.root / f"copy{number}"
        subprocess.run(["cp", "-a", house.source, copy], check=True)
        kept.append((archive, copy))
    for number, (archive, copy) in enumerate(kept):
        short = archive.stem[-8:]
        assert differences(copy, house.restore(f"out{number}", short)) == []
