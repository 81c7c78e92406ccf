"""Laws of rescue.py, tested with archives of a writer that shares no code with it."""

import base64
import json
import os
import shutil
import stat
import struct
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import zstandard

from tests.helpers.needs import lacks, need_mounts

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]
import tiny_writer  # noqa: E402
from tiny_writer import Draft, named  # noqa: E402

import rescue  # noqa: E402 - a file at the root, of no package

RESCUE = HERE.parent / "rescue.py"
PASSWORD = "Pässwörd"
MASTER = tiny_writer.master_key(PASSWORD)
BIG = bytes(range(256)) * 1000
ODD = b"caf\xe9\x1b\n"  # not UTF-8, and not printable
DEEP = "/".join(["n" * 180] * 22)  # 3,981 bytes
WHEN = 1_600_000_000_123_456_789
Entries = list[dict[str, Any]]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    """Yield a folder in which only `out` may appear; `guard` is the target of attacks."""
    (tmp_path / "guard").mkdir()
    (tmp_path / "guard" / "file").write_text("untouched")
    tiny_writer.key_file(tmp_path / "key", MASTER)
    before = sorted(os.listdir(tmp_path))
    yield tmp_path
    assert set(os.listdir(tmp_path)) - {"out", "store", "pw", "key2"} == set(before)
    assert os.listdir(tmp_path / "guard") == ["file"]
    assert (tmp_path / "guard" / "file").read_text() == "untouched"


def run(place: Path, *archives: Path, listed: bool = False) -> int:
    """Run rescue.py in this process with the key file and TARGET `out`."""
    words = [*map(str, archives), "--key-file", str(place / "key")]
    return int(
        rescue.main(
            [*words, "--list"] if listed else [*words[:-2], str(place / "out"), *words[-2:]]
        )
    )


def refused(place: Path, capsys: pytest.CaptureFixture[str], archive: Path, status: int = 1) -> str:
    """Require one line of error that names a file of the store, and the status."""
    assert run(place, archive) == status
    captured = capsys.readouterr()
    assert not captured.out
    assert captured.err.count("\n") == 1
    assert captured.err.startswith("rescue.py: ")
    assert str(archive.parent) in captured.err
    return captured.err


def common(**more: Any) -> dict[str, Any]:
    return {"mode": 0o640, "uid": os.getuid(), "gid": os.getgid(), "mtime": WHEN, **more}


def sample(draft: Draft) -> Entries:
    """Store a tree with one of everything that needs no root."""
    small, mid, other = draft.store(b"d", b"small", b"middle", b"x" * 5000)
    first, second = draft.store(b"d", BIG[:100_000])[0], draft.store(b"d", BIG[100_000:])[0]
    link = {"link": [7, 42]}
    sparse = {"size": 1 << 30, "extents": [[4096, 6], [1 << 20, 5000], [1 << 29, 5]]}
    deep = [common(path=DEEP[:n], type="dir", mode=0o700) for n in range(180, len(DEEP), 181)]
    return [
        common(type="dir", mode=0o750),
        *deep,
        common(path=DEEP, size=5, chunks=[small]),
        common(path="a", type="dir", mode=0o555),
        common(path="a/b", size=5, chunks=[small], mode=0o400, mtime=-1_500_000_001),
        common(path="a/empty"),
        common(path="a-b", size=len(BIG), chunks=[first, second], **link),
        common(path="hard", size=len(BIG), chunks=[first, second], **link),
        common(path="sparse", chunks=[mid, other, small], **sparse),
        common(path="hole", size=1 << 20, extents=[]),
        common(path="sym", type="symlink", target="../guard"),
        common(path="fifo", type="fifo", mode=0o600),
        common(**named("path", ODD), size=5, chunks=[small]),
        common(path="odd", type="symlink", **named("target", b"\xff\xfe")),
    ]


def sampled(place: Path) -> Path:
    draft = Draft(MASTER)
    draft.index(sample(draft))
    return draft.save(place / "store")


def contents(root: Path) -> dict[bytes, bytes]:
    """Read all files through handles: a path here may be longer than the kernel accepts."""
    found = {}
    top = os.open(root, os.O_RDONLY)
    for folder, _, names, handle in os.fwalk(b".", dir_fd=top):
        for name in names:
            info = os.stat(name, dir_fd=handle, follow_symlinks=False)
            if stat.S_ISREG(info.st_mode) and info.st_size < 1 << 28:
                file = os.open(name, os.O_RDONLY, dir_fd=handle)
                found[(folder + b"/" + name)[2:]] = os.read(file, 1 << 28)
                os.close(file)
    os.close(top)
    return found


def test_round_trip(place: Path) -> None:
    """Bytes, types, modes, times, links, holes and any name are restored."""
    assert run(place, sampled(place)) == 0
    out = place / "out"
    expected = {b"a/b": b"small", b"a/empty": b"", b"a-b": BIG, b"hard": BIG, ODD: b"small"}
    assert contents(out) == {**expected, DEEP.encode(): b"small", b"hole": bytes(1 << 20)}
    for name, mode in (("", 0o40750), ("a", 0o40555), ("a-b", 0o100640), ("fifo", 0o10600)):
        info = (out / name).stat()
        assert (info.st_mode, info.st_mtime_ns, info.st_uid) == (mode, WHEN, os.getuid())
    assert ((out / "a/b").stat().st_mode, (out / "a/b").stat().st_mtime_ns) == (
        0o100400,
        -1_500_000_001,
    )
    assert (out / "hard").stat().st_ino == (out / "a-b").stat().st_ino
    assert (out / "a-b").stat().st_nlink == 2
    assert os.readlink(out / "sym") == "../guard"
    assert os.readlink(os.fsencode(out / "odd")) == b"\xff\xfe"
    assert os.lstat(out / "sym").st_mtime_ns == WHEN
    with (out / "sparse").open("rb") as file:
        assert os.fstat(file.fileno()).st_size == 1 << 30
        assert os.fstat(file.fileno()).st_blocks * 512 < 1 << 20
        assert os.pread(file.fileno(), 6, 4096) == b"middle"
        assert os.pread(file.fileno(), 5002, (1 << 20) - 1) == b"\0" + b"x" * 5000 + b"\0"
        assert os.pread(file.fileno(), 6, 1 << 29) == b"small\0"


def test_an_extent_may_have_several_chunks(place: Path) -> None:
    """Joined chunks are the data of the joined extents; none reaches over a hole."""
    draft = Draft(MASTER)
    chunks = draft.store(b"d", b"ab", b"cde", b"fg", b"hij")
    extents = [[1, 2], [5, 5], [100, 3]]
    draft.index([common(path="f", size=200, extents=extents, chunks=chunks)])
    assert run(place, draft.save(place / "store")) == 0
    expected = b"\0ab\0\0cdefg" + bytes(90) + b"hij" + bytes(97)
    assert (place / "out/f").read_bytes() == expected


def test_a_name_too_long_for_the_target_costs_only_itself(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another hard link of the same file is restored, and the loss is counted."""
    draft = Draft(MASTER)
    (chunk,) = draft.store(b"d", b"data")
    both = {"size": 4, "chunks": [chunk], "link": [1, 2]}
    long = "n" * 300
    draft.index(
        [
            common(path=long, **both),
            common(path="other", **both),
            common(path="o" * 300, type="dir"),
            common(path="o" * 300 + "/in", size=4, chunks=[chunk]),
        ]
    )
    assert run(place, draft.save(place / "store")) == 0
    assert contents(place / "out") == {b"other": b"data"}
    assert "files with a name too long for this filesystem" in capsys.readouterr().err


def test_incremental(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An archive uses chunks and index of those beside it; a missing one is named."""
    base = Draft(MASTER)
    (old,) = base.store(b"d", b"old")
    base.index([common(path="old", size=3, chunks=[old])])
    first = base.save(place / "store")
    draft = Draft(MASTER, time="20260103T030405Z", bases=[base])
    (new,) = draft.store(b"d", b"new")
    draft.index([common(path="zoo", size=6, chunks=[old, new])])
    draft.manifest["index"].insert(0, base.manifest["index"][0])
    draft.manifest |= {"entries": 2, "files": 2}
    second = draft.save(place / "store")
    assert run(place, second, listed=True) == 0
    assert capsys.readouterr().out == "old\nzoo\n"
    assert run(place, second) == 0
    assert contents(place / "out") == {b"old": b"old", b"zoo": b"oldnew"}
    shutil.rmtree(place / "out")
    capsys.readouterr()
    first.write_bytes(first.read_bytes() + b"!")
    assert first.name in refused(place, capsys, second)
    first.unlink()
    assert first.name in refused(place, capsys, second)
    assert not (place / "out").exists()


def test_frames_are_read_once_and_in_order(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """However files refer across an archive, each frame is read once, in the archive's order."""
    draft = Draft(MASTER)
    cut = [draft.store(b"d", bytes([n]) * 9, bytes([n]) * 5) for n in range(20)]
    chunks = [cut[n * 7 % 20][n % 2] for n in range(40)]
    files = [
        common(path=f"{n:02}", size=chunk[4], chunks=[chunk]) for n, chunk in enumerate(chunks)
    ]
    draft.index(files)
    archive = draft.save(place / "store")
    offsets: list[int] = []
    unseal = rescue.Archive.unseal

    def spy(self: Any, frame: int, offset: int, length: int, kind: bytes) -> bytes:
        offsets.extend([offset] * (kind == b"d"))
        return bytes(unseal(self, frame, offset, length, kind))

    monkeypatch.setattr(rescue.Archive, "unseal", spy)
    assert run(place, archive) == 0
    assert offsets == sorted(set(offsets))
    assert len(offsets) == 20


def test_list_prints_names_that_do_no_harm(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """`--list` prints one line per path, without control characters, and writes nothing."""
    assert run(place, sampled(place), listed=True) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line for line in lines if "nnn" not in line] == sorted(
        [
            "a",
            "a/b",
            "a/empty",
            "a-b",
            r"caf\xe9\x1b\n",
            "fifo",
            "hard",
            "hole",
            "odd",
            "sparse",
            "sym",
        ],
        key=lambda path: path.split("/"),
    )
    assert not (place / "out").exists()


def test_several_archives(place: Path) -> None:
    """Several archives are restored to a folder each, named after the service."""
    paths = []
    for service in ("one", "two"):
        draft = Draft(MASTER, service=service)
        draft.index([common(path="f", size=3, chunks=draft.store(b"d", service.encode()))])
        paths.append(draft.save(place / "store" / service))
    assert run(place, *paths) == 0
    assert contents(place / "out") == {b"one/f": b"one", b"two/f": b"two"}
    assert run(place, paths[0], paths[0], listed=True) == 2


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs root: owners and devices")
def test_root_restores_owners_devices_and_attributes(place: Path) -> None:
    """Root restores owners, setuid, devices, extended attributes and ACLs."""
    need_mounts()  # the same right sets trusted attributes
    acl = struct.pack("<IHHiHHiHHiHHiHHi", 2, 1, 6, -1, 2, 4, 1234, 4, 4, -1, 16, 4, -1, 32, 0, -1)
    attributes = {"user.note": b"\0\xff", "system.posix_acl_access": acl, "trusted.x": b"y"}
    xattrs = {name: base64.b64encode(value).decode() for name, value in attributes.items()}
    odd = {base64.b64encode(b"user.\xff").decode(): "eA=="}
    draft = Draft(MASTER)
    draft.index(
        [
            common(path="null", type="char", device=[1, 3], uid=5, mode=0o666, link=[1, 2]),
            common(path="same", type="char", device=[1, 3], uid=5, mode=0o666, link=[1, 2]),
            common(path="disk", type="block", device=[259, 1_048_575]),
            common(path="su", mode=0o4755, uid=1234, gid=2345),
            common(path="x", xattrs=xattrs, xattrs64=odd, uid=1234, mode=0o640),
            common(path="ln", type="symlink", target="x", uid=3, xattrs={"trusted.l": "bA=="}),
        ]
    )
    os.mkdir(place / "out")
    default = struct.pack(
        "<IHHiHHiHHiHHiHHi", 2, 1, 7, -1, 2, 7, 99, 4, 7, -1, 16, 7, -1, 32, 7, -1
    )
    os.setxattr(place / "out", "system.posix_acl_default", default)
    assert run(place, draft.save(place / "store")) == 0
    out = place / "out"
    assert (out / "null").stat().st_rdev == os.makedev(1, 3)
    assert (out / "null").stat().st_ino == (out / "same").stat().st_ino
    assert (out / "disk").stat().st_rdev == os.makedev(259, 1_048_575)
    info = (out / "su").stat()
    assert (info.st_mode, info.st_uid, info.st_gid) == (0o104755, 1234, 2345)
    assert os.listxattr(out / "su") == []
    attributes |= {os.fsdecode(b"user.\xff"): b"x"}
    assert {name: os.getxattr(out / "x", name) for name in os.listxattr(out / "x")} == attributes
    assert os.lstat(out / "ln").st_uid == 3
    assert os.getxattr(out / "ln", "trusted.l", follow_symlinks=False) == b"l"


@pytest.mark.root
@pytest.mark.skipif(os.getuid() != 0, reason="needs root, to become nobody")
def test_properties_that_need_root_are_counted() -> None:
    """Without root all data is restored; owners and devices are counted, setuid is dropped."""
    draft = Draft(MASTER)
    (chunk,) = draft.store(b"d", b"data")
    draft.index(
        [
            common(type="dir", mode=0o500, uid=4),
            common(path="d", type="char", device=[1, 3], link=[1, 2]),
            common(path="e", type="char", device=[1, 3], link=[1, 2]),
            common(path="su", mode=0o4711, uid=4, size=4, chunks=[chunk]),
            common(path="sub", type="dir", mode=0, uid=4),
            common(path="sub/f", mode=0, uid=4, size=4, chunks=[chunk]),
        ]
    )
    with tempfile.TemporaryDirectory() as home:  # pytest's own folders are closed to others
        place, paper = Path(home), Path(home, "stderr")
        words = [draft.save(place), place / "out", "--key-file"]
        words.append(tiny_writer.key_file(place / "key", MASTER))
        os.chown(place, 65534, 65534)
        child = os.fork()
        if not child:
            os.setgroups([])
            os.setgid(65534)
            os.setuid(65534)
            with paper.open("w") as sys.stderr:
                status = rescue.main([str(word) for word in words])
            os._exit(status)
        assert os.waitpid(child, 0)[1] == 0, paper.read_text()
        said, out = paper.read_text(), place / "out"
        assert "owners that could not be restored: 4" in said
        assert "special files that could not be restored: 1" in said
        assert contents(out) == {b"su": b"data", b"sub/f": b"data"}
        assert (out / "su").stat().st_mode == 0o100711
        assert (out / "sub").stat().st_mode == 0o40000


@pytest.mark.parametrize(
    "first", [0, *(pytest.param(n, marks=pytest.mark.thorough) for n in range(1, 16))]
)
def test_any_flipped_byte(place: Path, capsys: pytest.CaptureFixture[str], first: int) -> None:
    """Whichever byte of an archive is altered, it is refused, in one line that names it.

    Each sample alters every sixteenth byte.
    """
    draft = Draft(MASTER)
    draft.index([common(path="f", size=5, chunks=draft.store(b"d", b"short"))])
    archive = draft.save(place / "store")
    whole = archive.read_bytes()
    for place_of in range(first, len(whole), 16):
        for bit in (1, 128):
            damaged = bytearray(whole)
            damaged[place_of] ^= bit
            archive.write_bytes(damaged)
            assert archive.name in refused(place, capsys, archive)
            shutil.rmtree(place / "out", ignore_errors=True)


def test_any_truncation_or_addition(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An archive with any other end is refused before any writing."""
    archive = sampled(place)
    whole = archive.read_bytes()
    offset, manifest, _, _, _ = struct.unpack(">QII8s8s", whole[-32:])
    cuts = {
        n + d
        for n in (0, 72, 104, offset, offset + manifest, len(whole) - 32, len(whole))
        for d in (-1, 0, 1)
    }
    for end in sorted(cuts - {-1, len(whole)}):
        archive.write_bytes((whole + b"\0")[:end])
        assert archive.name in refused(place, capsys, archive)
        if end != len(whole) - 32:
            archive.write_bytes(whole[:end] + whole[-32:])  # the trailer kept
            assert archive.name in refused(place, capsys, archive)
    assert not (place / "out").exists()


def test_exchanged_archives(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """An archive under another's name, even of the same service, is refused."""
    drafts = [Draft(MASTER), Draft(MASTER, time="20260103T030405Z"), Draft(MASTER, service="web")]
    paths = []
    for draft in drafts:
        draft.index([])
        paths.append(draft.save(place / "store"))
    for one, other in ((0, 1), (0, 2)):
        kept = paths[one].read_bytes()
        paths[one].write_bytes(paths[other].read_bytes())
        assert f"it is that of {drafts[other].service}-{drafts[other].time}" in refused(
            place, capsys, paths[one]
        )
        paths[one].write_bytes(kept)
    hidden = paths[0].rename(paths[0].with_name("." + paths[0].name))
    assert "unfinished" in refused(place, capsys, hidden)


def test_spliced_frames(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A frame in another's position, from its own archive or another, fails authentication."""
    draft = Draft(MASTER)
    one, two = draft.store(b"d", b"one")[0], draft.store(b"d", b"two")[0]
    draft.index([common(path="f", size=6, chunks=[one, two])])
    archive = draft.save(place / "store")
    whole = archive.read_bytes()
    size = len(zstandard.compress(b"one")) + 28
    start = len(whole) - draft.size + struct.unpack(">Q", whole[-32:-24])[0] - 2 * size
    a, b = whole[start : start + size], whole[start + size : start + 2 * size]
    archive.write_bytes(whole[:start] + b + a + whole[start + 2 * size :])
    assert f"at byte {start} is damaged" in refused(place, capsys, archive)


ATTACKS: list[Entries] = [  # GUARD is a folder outside
    [common(path="GUARD/new")],
    [common(path="/new")],
    [common(path="../guard/new")],
    [common(path="..", type="dir"), common(path="../new")],
    [common(path=".", type="dir"), common(path="./new")],
    [common(path="d", type="dir"), common(path="d/../../guard/new")],
    [common(path="d", type="dir"), common(path="d//new")],
    [common(path="d", type="dir"), common(path="d/")],
    [common(path64=base64.b64encode(b"../guard/new").decode())],
    [common(path="nul\0")],
    [common(path="l", type="symlink", target="GUARD"), common(path="l/new")],
    [
        common(path="l", type="symlink", target="GUARD/file"),
        common(path="l"),
    ],
    [
        common(path="l", type="symlink", target="GUARD"),
        common(path="l", type="dir"),
    ],
    [common(path="f"), common(path="f/new")],
    [common(path="missing/new")],
    [common(path="", type="symlink", target="GUARD")],
    [common(path="f"), common(path="f")],
    [common(path="f", size=5)],
    [common(path="f", size=-1)],
    [common(path="f", mode=0o100644)],
    [common(path="f", uid=2**32 - 1)],
    [common(path="f", mtime=1.5)],
    [common(path="f", mtime=True)],
    [common(path="f", type="socket")],
    [common(path="f", type=["file"])],
    [common(path="f", type="symlink")],
    [common(path="f", size=9, extents=[[0, 10]])],
    [common(path="f", size=9, extents=[[5, 2], [0, 2]])],
    [common(path="f", extents=[[0, 2**63]])],
    [common(path="f", xattrs={"user.x": "not base64!"})],
    [common(path="f", xattrs=[])],
    [common(path="f", chunks=[["0" * 32, "0" * 32, 2, 0, 1]], size=1)],
    [common(path="f", link=[1])],
    [common(path="f", link=[1, 2]), common(path="g", link=[1, 2], type="fifo")],
    [common(path="\udc80")],
    [{"path": 5}],
]


@pytest.mark.parametrize("attack", range(len(ATTACKS)))
def test_hostile_entries(place: Path, capsys: pytest.CaptureFixture[str], attack: int) -> None:
    """Whatever an archive's entries say, nothing is written, and one line says why."""
    draft = Draft(MASTER)
    draft.index([])
    hostile = json.dumps(ATTACKS[attack]).replace("GUARD", str(place / "guard"))
    entries = json.loads(hostile)
    (block,) = draft.store(b"i", hostile.encode())
    first = {
        key.replace("path", "first"): entries[0][key]
        for key in ("path", "path64")
        if key in entries[0]
    }
    listed = [{**first, "entries": len(entries), "chunk": block}]
    draft.manifest["index"] = draft.listed(listed)
    draft.manifest |= {"entries": len(entries)}
    draft.manifest["files"] = sum(entry.get("type") != "dir" for entry in entries)
    archive = draft.save(place / "store")
    refused(place, capsys, archive)
    assert not (place / "out").exists()


REFERENCES: list[Callable[[list[Any]], list[Any]]] = [
    lambda r: [*r[:3], 1, r[4]],
    lambda r: [*r[:3], 0, r[4] + 1],
    lambda r: [*r[:3], -1, r[4]],
    lambda r: [*r[:2], 1, *r[3:]],
    lambda r: [*r[:2], r[2] + 1, *r[3:]],  # the index segment
    lambda r: [*r[:2], 99, *r[3:]],
    lambda r: [*r[:4], 0],
    lambda r: r[:4],
    lambda r: [r[0].upper() + "x", *r[1:]],
]


@pytest.mark.parametrize("lie", range(len(REFERENCES)))
def test_references(place: Path, capsys: pytest.CaptureFixture[str], lie: int) -> None:
    """A reference that is not within a data segment of a known archive is refused."""
    draft = Draft(MASTER)
    reference = REFERENCES[lie](draft.store(b"d", b"data")[0])
    size = reference[4] if len(reference) > 4 else 4
    draft.index([common(path="f", size=size, chunks=[reference])])
    refused(place, capsys, draft.save(place / "store"))


TABLES: list[
    list[list[Any]]
] = [  # of one frame that begins at 72, lengths as differences to its own
    [[72, -1]],
    [[73, -1]],
    [[72, 0], [72, 0]],
    [],
    [[72, 0, 0]],
    [["72", 0]],
]


@pytest.mark.parametrize("lie", range(len(TABLES)))
def test_table_end_to_end(place: Path, capsys: pytest.CaptureFixture[str], lie: int) -> None:
    """Frames that are not contiguous between header and manifest are refused."""
    draft = Draft(MASTER)
    draft.index([])
    whole = draft.save(place / "store").read_bytes()
    length = struct.unpack(">Q", whole[-32:-24])[0] - int.from_bytes(whole[10:12], "big")
    frames = [[at, length + more, *rest] for at, more, *rest in TABLES[lie]]
    archive = draft.save(place / "store", table={"frames": frames})
    assert "the table at byte" in refused(place, capsys, archive)


MANIFESTS: list[dict[str, Any]] = [
    {"format": 1},
    {"id": "0" * 32},
    {"service": "other"},
    {"service": 5},
    {"time": "now"},
    {"kind": "incremental"},
    {"entries": 2},
    {"files": 7},
    {"index": [{}]},
    {"index": None},
    {"archives": [{"id": "zz"}]},
    {"archives": None},
]


@pytest.mark.parametrize("lie", range(len(MANIFESTS)))
def test_manifests_that_lie(place: Path, capsys: pytest.CaptureFixture[str], lie: int) -> None:
    """A manifest that contradicts its name, its index or the format is refused."""
    draft = Draft(MASTER)
    draft.index([common(path="f")])
    draft.manifest |= MANIFESTS[lie]
    refused(place, capsys, draft.save(place / "store"))
    assert not (place / "out").exists()


def test_zstd_says_its_size(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A segment whose content is unstated, above 4 MiB or followed by more is refused unread."""
    pack = zstandard.compress

    def unstated(plain: bytes) -> bytes:
        stream = zstandard.ZstdCompressor().compressobj()
        return bytes(stream.compress(plain) + stream.flush())

    lies = [(unstated, 5), (pack, 4 << 20 | 1), (lambda p: pack(p) + b"more", 5), (bytes, 5)]
    for lie, size in lies:
        draft = Draft(MASTER)
        chunk, used = draft.store(b"d", bytes(size))[0], min(size, 4 << 20)
        draft.index([common(path="f", size=used, chunks=[[*chunk[:4], used]])])
        whole = bytes(size)
        draft.pack = lambda p, lie=lie, w=whole: lie(p) if p == w else pack(p)
        assert "(frame 2)" in refused(place, capsys, draft.save(place / "store"))
        shutil.rmtree(place / "out")
    draft = Draft(MASTER)
    draft.index([common(path="f", size=4 << 20, chunks=draft.store(b"d", bytes(4 << 20)))])
    assert run(place, draft.save(place / "store")) == 0


@pytest.mark.parametrize(
    "cost", [(65_535, 1, 1), (4_194_305, 1, 1), (65_536, 0, 1), (65_536, 17, 1), (65_536, 1, 65)]
)
def test_argon2_bounds(
    place: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    cost: tuple[int, int, int],
) -> None:
    """Costs of Argon2 beyond the limits of the format are refused before they are incurred."""
    monkeypatch.setattr(tiny_writer, "COST", cost)
    draft = Draft(MASTER)
    draft.index([])
    assert "slots" in refused(place, capsys, draft.save(place / "store"))


def test_keys_and_usage(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A wrong password or key is 7, a wrong command line 2, a damaged key file 1; none writes."""
    archive = sampled(place)
    tiny_writer.key_file(place / "key2", bytes(32))
    (place / "pw").write_text("wrong\n")
    out = str(place / "out")
    assert rescue.main([str(archive), out, "--key-file", str(place / "key2")]) == 7
    assert rescue.main([str(archive), out, "--password-file", str(place / "pw")]) == 7
    (place / "key2").write_text((place / "key").read_text().replace('"key": "', '"key": "00'))
    assert rescue.main([str(archive), out, "--key-file", str(place / "key2")]) == 1
    for words in (
        [out],
        [],
        [str(archive), str(place / "guard")],
        [str(archive), str(place / "key")],
        ["absent", out],
        [str(archive), out, "--password-file", "absent"],
    ):
        with pytest.raises(SystemExit) as exited:
            rescue.main(words)
        assert exited.value.code == 2
    assert "Traceback" not in capsys.readouterr().err
    assert not (place / "out").exists()


def test_another_key_of_a_base(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A referenced archive is sealed under its own key, or refused."""
    base = Draft(bytes(32))
    base.index([])
    base.save(place / "store")
    draft = Draft(MASTER, time="20260103T030405Z", bases=[base])
    draft.index([])
    assert base.name() in refused(place, capsys, draft.save(place / "store"))


@pytest.mark.parametrize("python", [sys.executable, "/usr/bin/python3"])
def test_as_a_program(place: Path, python: str) -> None:
    """It runs with Debian's packages, alone in a folder, from only the password."""
    needs = [python, "-c", "import argon2, cryptography, zstandard"]
    if subprocess.run(needs, capture_output=True, check=False).returncode:
        how = "apt-get install python3-cryptography python3-zstandard python3-argon2"
        lacks(f"{python} needs: {how}")
    archive = sampled(place)
    (place / "store/rescue.py").write_bytes(RESCUE.read_bytes())
    (place / "pw").write_text("Pa\u0308sswo\u0308rd\n")  # another normal form of the same password
    words: list[Path | str | bytes] = [python, place / "store/rescue.py", archive]
    secret: list[Path | str | bytes] = ["--password-file", place / "pw"]
    done = subprocess.run([*words, place / "out", *secret], capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert contents(place / "out")[b"a-b"] == BIG
    nowhere = {**os.environ, "LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    again = [*words, os.fsencode(place) + b"/out/\xff \xc3\xa4", *secret]
    done = subprocess.run(again, capture_output=True, check=False, env=nowhere)
    assert (done.returncode, done.stderr) == (0, b"")
    archive.write_bytes(archive.read_bytes()[:-100])
    done = subprocess.run([*words, "--list", *secret], capture_output=True, check=False)
    assert done.returncode == 1
    assert done.stderr.count(b"\n") == 1


def test_knows_nothing_of_packrat() -> None:
    """rescue.py names no module of packrat."""
    imports = [line for line in RESCUE.read_text().splitlines() if "import " in line]
    for folder in ("vault", "engine", "stages", "specs", "packrat"):
        assert not any(f" {folder}" in line for line in imports)
