"""The contract of every stage kind: ports, description, and inverse after forward."""

import os
from itertools import accumulate

import pytest
from engine.stream import Stream
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import structs
from stages.session import BackupSession

from engine.run import Run
from engine.stage import FanOut, Scope
from stages.chunk import ChunkStage
from stages.collect import Collect
from stages.compress import Compress
from stages.encrypt import Encrypt
from stages.items import Chunk, Frame, Piece, Place, Sealed, Segment
from stages.journal import Journal
from stages.kinds import KINDS
from stages.pack import Pack
from stages.restore_target.layout import Layout
from stages.restore_target.resume import Marker
from stages.spool import SpoolStage
from stages.upload import Upload
from tests.helpers.trees import differences, fill, noise
from vault.archive.format import MANIFEST, Entry
from vault.archive.seal import Sealer
from vault.store.local import Local

PARAMS = {
    "survey": {},
    "collect": {"path": "/srv/data", "exclude": ["*.tmp"]},
    "chunk": {},
    "pack": {},
    "compress": {"level": 3},
    "encrypt": {},
    "spool": {"max_size": 1 << 30},
    "catch_up": {"destination": "nas", "keep": 3},
    "upload": {"destination": "nas"},
    "confirm": {"destination": "nas", "full": True},
    "prune": {"destination": "nas", "keep": 3},
    "command": {"command": "true"},
    "commands": {"first": {"command": "false | true"}, "then": {"command": "true"}},
    "post_restore": {"command": "psql -f dump.sql", "container": "postgres"},
    "preflight": {"path": "/srv/data", "containers": ["gitea"]},
    "undo": {"service": "svc", "path": "/srv/data"},
    "warm": {"path": "/srv/data"},
    "containers": {"names": ["gitea"]},
}
"""A row for every kind: parameters that it takes."""


def test_every_kind_has_a_row():
    """A new kind is a file, a line in KINDS, and a row here."""
    assert sorted(kind.kind for kind in KINDS) == sorted(PARAMS)


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_a_kind_says_what_it_is(kind):
    """Parameters round-trip, a plan describes it, and what goes back has a name for that."""
    stage = kind(**PARAMS[kind.kind])
    assert kind(**stage.model_dump()) == stage
    assert isinstance(stage.describe(), str)
    assert isinstance(stage.describe(backwards=True), str)
    if stage.inverse is not None:
        assert stage.backwards
    if isinstance(stage, Scope):
        assert stage.takes is stage.gives is None
    if isinstance(stage, FanOut):
        assert stage.takes is not None
        assert stage.gives is not None


def new_session(folder, keys, *destinations):
    """Make a backup session with real keys, of an archive of its own."""
    return BackupSession(
        "svc",
        "here",
        keys,
        {destination.name: destination for destination in destinations},
        None,
        str(folder / "spool" / "svc"),
        tuple(destination.name for destination in destinations),
        os.urandom(16),
        journal=Journal(str(folder), "svc"),
        secret=str,
        time="20260101T000000Z",
    )


@pytest.fixture(scope="module")
def session(tmp_path_factory, keys):
    """A backup session with real keys and no destination."""
    return new_session(tmp_path_factory.mktemp("session"), keys)


class Back:
    """What the inverse of a stage needs of a restore session."""

    files = size = downloaded = 0
    in_place = False

    def __init__(self, session, target=""):
        self.keys = session.keys
        self.layout = Layout()
        self.backup = self
        self.where = "test"
        self.sealer = Sealer(session.keys, session.header, "test")
        self.service, self.file = session.service, session.name
        self.destination = next(iter(session.destinations.values()), None)
        self.copies = self
        self.target = str(target)
        self.marker = Marker(session.service, session.archive_id.hex(), ())

    def archive(self, _):
        return self

    def name(self, _):
        return self.file

    def read(self, _, offset, length, check=None):
        return self.destination.read(self.service, self.file, offset, length)

    def unseal(self, _, number, kind, sealed):
        return self.sealer.open(number, kind, sealed)


def wanted_of(items, layout):
    """Give what is wanted of sealed frames or segments along with them, as `cut` does."""
    for item in items:
        for wanted in layout.wanted(item.archive, item.number):
            yield structs.replace(item, wanted=wanted)


sizes = st.sampled_from([0, 1, 255, 262_143, 262_144, 262_145, 1 << 20, 5_000_000])
files = st.lists(st.tuples(sizes, st.integers(0, 2), st.booleans()), max_size=5)


def pieces(specs):
    """Make pieces as `read` gives them: small at once, large in blocks, some read twice."""
    for number, (size, seed, restless) in enumerate(specs):
        entry = Entry(path=f"f{number}", size=size)
        data = noise(size, seed)
        if size <= 1 << 20 and not restless:
            yield Piece(entry, 0, data)
            continue
        if restless:
            yield Piece(entry, 0, noise(1000, 99), last=False)
        again = restless
        for at in range(0, size, 2_000_000):
            yield Piece(entry, at, data[at : at + 2_000_000], last=False, again=again)
            again = False
        yield Piece(entry, size, again=again)


@settings(max_examples=25)
@given(files)
def test_chunk_and_back(session, specs):
    """Chunks, proven by their names and put end to end, are the files again."""
    chunks = list(ChunkStage().forward(pieces(specs), Run(session)))
    back: dict[str, bytes] = {}
    for chunk in chunks:
        if chunk.again:
            back.pop(chunk.entry.path, None)
        if chunk.id:
            [piece] = ChunkStage().inverse(iter([chunk]), Run(Back(session)))
            assert piece.offset == len(back.get(chunk.entry.path, b""))
            back[chunk.entry.path] = back.get(chunk.entry.path, b"") + piece.data
    assert back == {f"f{n}": noise(size, seed) for n, (size, seed, _) in enumerate(specs) if size}
    assert sum(chunk.last for chunk in chunks) == len(specs)


@settings(max_examples=15)
@given(files)
def test_everything_between_source_and_spool_and_back(session, specs):
    """pack, compress and encrypt, then decrypt, decompress and unpack: the same chunks."""
    run = Run(session)
    chunks = list(ChunkStage().forward(pieces(specs), run))
    segments = list(Pack().forward(iter(chunks), run))
    frames = list(Compress().forward(iter(segments), run))
    sealed = [s for s in Encrypt().forward(iter(frames), run) if s.kind == b"d"]
    back = Back(session)
    entries = {id(chunk.entry): chunk.entry for chunk in chunks}
    for entry in entries.values():
        back.layout.add(entry)
    wanted = back.layout.frames(lambda id_: id_)
    assert sorted(number for _, number in wanted) == sorted(s.number for s in sealed)
    run = Run(back)
    found = {}
    opened = Compress().inverse(Encrypt().inverse(wanted_of(sealed, back.layout), run), run)
    for chunk in Pack().inverse(opened, run):
        found[chunk.entry.path, chunk.offset] = bytes(chunk.data)
    for number, (size, seed, _) in enumerate(specs):
        parts = [data for (path, _), data in sorted(found.items()) if path == f"f{number}"]
        assert b"".join(parts) == noise(size, seed)


@settings(max_examples=20)
@given(st.lists(st.binary(max_size=5000), min_size=1, max_size=6))
def test_compress_and_encrypt_undo_themselves(session, contents):
    """For any segments: inverse after forward gives them back, in order."""
    segments = [Segment("a", number + 2, b"d", (data,)) for number, data in enumerate(contents)]
    back = Run(Back(session))
    frames = list(Compress().forward(iter(segments), Run(session)))
    assert [s.data[0] for s in Compress().inverse(iter(frames), back)] == contents
    manifest = Frame("a", MANIFEST, b"m", frames[0].data)
    sealed = [
        s for s in Encrypt().forward(iter([*frames, manifest]), Run(session)) if s.kind == b"d"
    ]
    assert [(f.number, f.data) for f in Encrypt().inverse(iter(sealed), back)] == [
        (f.number, f.data) for f in frames
    ]


def test_a_chunk_that_is_not_what_its_name_says_is_refused(session):
    """The last proof of all: content and name must agree."""
    chunk = Chunk(Entry(path="x", size=1), "0" * 32, 0, b"y")
    with pytest.raises(Exception, match="has other content"):
        list(ChunkStage().inverse(iter([chunk]), Run(Back(session))))


@settings(max_examples=25)
@given(st.lists(st.binary(min_size=1, max_size=100_000), min_size=1, max_size=8), st.data())
def test_spool_and_upload_undo_themselves(tmp_path_factory, keys, contents, data):
    """What went into the spool and to a destination: any of it, downloaded and cut, is itself."""
    folder = tmp_path_factory.mktemp("up")
    session = new_session(folder, keys, Local("nas", str(folder / "nas")))
    own = session.archive_id.hex()
    sealed = [Sealed(own, number + 2, b"d", data) for number, data in enumerate(contents)]
    run = Run(session)
    spool, upload = SpoolStage(), Upload(destination="nas")
    assert list(spool.forward(iter(sealed), run)) == []
    [place] = upload.forward(spool.branch(run), run)
    assert (place.offset, place.length) == (0, sum(map(len, contents)))
    session.destinations["nas"].commit("svc", session.name, lambda _: None)
    wanted = data.draw(st.sets(st.sampled_from(range(len(sealed)))))
    starts = [0, *accumulate(map(len, contents))]
    places = [Place(own, starts[n], len(contents[n]), n + 2) for n in sorted(wanted)]
    back = Run(Back(session))
    layout = back.context.layout
    for n in sorted(wanted):
        layout.add(Entry(path=f"f{n}", size=1, chunks=[("0" * 32, own, n + 2, 0, 1)]))
    assert layout.frames(str) == [(own, n + 2) for n in sorted(wanted)]
    found = list(spool.inverse(upload.inverse(iter(places), back), back))
    assert found == list(wanted_of([sealed[n] for n in sorted(wanted)], layout))


@settings(max_examples=15)
@given(
    st.dictionaries(
        st.sampled_from(["a", "b/c", "b/d/e", "b-x", "z", "ü/\udcff"]),
        st.builds(noise, sizes, st.integers(0, 2)),
    ),
    st.booleans(),
    st.sampled_from([0o600, 0o755, 0o4711]),
)
def test_collect_and_write_undo_themselves(tmp_path_factory, keys, tree, links, mode):
    """A tree that was read and packed, unpacked and written, is the same tree."""
    folder = tmp_path_factory.mktemp("tree")
    source, target = folder / "source", folder / "target"
    fill(source, {"always": b"x"} | tree)
    (source / "always").chmod(mode)
    if links:
        os.link(source / "always", source / "also")
        os.symlink("always", source / "points")
        os.mkfifo(source / "fifo")
    session = new_session(folder, keys)
    run = Run(session)
    stage = Collect(path=str(source))
    chunks = list(ChunkStage().forward(stage.forward(iter(()), run), run))
    segments = list(Pack().forward(iter(chunks), run))
    back = Run(Back(session, target))
    for entry in {chunk.entry.name: chunk.entry for chunk in chunks}.values():
        back.context.layout.add(entry)
    wanted = back.context.layout.frames(lambda id_: id_)
    data = [s for s in segments if (s.archive, s.number) in wanted]
    plain = [Segment(s.archive, s.number, s.kind, (b"".join(s.data),)) for s in data]
    pieces = Stream(
        wanted_of(plain, back.context.layout),
        lambda segments: ChunkStage().inverse(Pack().inverse(segments, back), back),
    )
    list(stage.inverse(pieces, back))
    assert differences(source, target) == []
    assert back.context.files == sum(not path.is_dir() for path in source.rglob("*"))
