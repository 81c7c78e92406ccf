"""Contract of every built-in stage kind: its inverse undoes its forward direction.

Each example makes a real archive at a real destination, running the stages one after the other.
"""

import json
import os

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.run import Run
from engine.stage import FanOut, Scope
from stages.chunk import ChunkStage
from stages.collect import Collect
from stages.compress import Compress
from stages.confirm import Confirm
from stages.encrypt import Encrypt
from stages.facts import (
    AtRest,
    Base,
    CaughtUp,
    DowntimeClock,
    Dump,
    Dumped,
    Job,
    RestoreJob,
    ScratchFolder,
    Selected,
    SourceReport,
    StateFolder,
    Stores,
    Written,
)
from stages.gather import Gather, marker
from stages.items import Chunk, Piece
from stages.kinds import KINDS
from stages.locate import Locate
from stages.pack import Pack
from stages.reads import Reads
from stages.replicas import Replicas
from stages.restore_target.layout import Layout
from stages.restore_target.target import Target
from stages.select import Select
from stages.source.previous_index import PreviousIndex
from stages.source.roots import HeldRoots
from stages.source.warm_record import WarmRecord
from stages.spool import SpoolStage
from stages.spool_folder import SpoolFolder
from stages.upload import Upload
from tests.helpers.sampling import examples
from tests.helpers.trees import differences, fill, noise
from vault.archive.format import ArchiveName, Entry
from vault.archive.lineage import Lineage
from vault.catalog.cache import CatalogCache
from vault.catalog.record import Record
from vault.errors import Damaged
from vault.spool import Spool
from vault.store.local import Local

PARAMS = {
    "survey": {"tidy": False},
    "base": {"keep": 3, "incremental": False},
    "preflight": {"read": {"paths": ["/srv/data"]}, "containers": ["gitea"]},
    "source": {"max_size": 1 << 30},
    "warm": {"bulk": False},
    "collect": {"read": {"path": "/srv/data", "exclude": ["*.tmp"], "never": ["/srv/data/own"]}},
    "gather": {},
    "chunk": {},
    "pack": {},
    "compress": {"level": 3},
    "encrypt": {},
    "spool": {},
    "catch_up": {"destination": "nas", "keep": 3},
    "upload": {"destination": "nas"},
    "confirm": {"destination": "nas", "full": True},
    "prune": {"destination": "nas", "keep": 3},
    "verify": {"destination": "nas", "keep": 3, "depth": "chunks"},
    "prove_dumps": {"destination": "nas"},
    "command": {"command": "true"},
    "commands": {"first": {"command": "false | true"}, "then": {"command": "true"}},
    "post_restore": {"command": "psql -f dump.sql", "container": "postgres"},
    "containers": {"names": ["gitea"]},
    "dump": {"databases": [{"kind": "sqlite", "label": "sqlite-db", "path": "/srv/data/db"}]},
    "set_aside": {
        "service": "svc",
        "databases": [{"kind": "redis", "label": "redis-cache", "container": "cache"}],
    },
    "undo": {"service": "svc", "read": {"path": "/srv/data", "exclude": ["*.tmp"]}},
    "select": {"paths": ["a/b"]},
    "locate": {},
}
"""Parameters of every kind."""


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_parameters_survive_the_printed_document(kind):
    """A document has JSON values, without defaults."""
    stage = kind(**PARAMS[kind.kind])
    printed = json.dumps(stage.model_dump(mode="json", exclude_defaults=True))
    assert kind.model_validate(json.loads(printed)) == stage


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.kind)
def test_kind_has_the_ports_and_names_that_a_plan_needs(kind):
    """A description is one line; an inverse has a name of its own; a fan-out has both ports."""
    stage = kind(**PARAMS[kind.kind])
    for backwards in (False, True):
        assert "\n" not in stage.describe(backwards=backwards)
    if stage.inverse is not None and not isinstance(stage, Scope):
        assert stage.backwards
    if isinstance(stage, Scope):
        assert stage.takes is stage.gives is None
    if isinstance(stage, FanOut):
        assert None not in (stage.takes, stage.gives)


class Archive:
    """Archive that the stages make one after the other, and the way to read it back."""

    def __init__(self, folder, keys, items=None, source=None, level=2):
        """Make an archive of these pieces, or of a folder."""
        self.keys, self.target = keys, folder / "target"
        self.job = Job(service="svc", host="here", archive_id=os.urandom(16), destinations=("nas",))
        time = "20260101T000000Z"
        base = Base(str(ArchiveName("svc", time, self.job.own[:8])), time, NEW_LINE)
        spool_folder = SpoolFolder(str(folder / "spool" / "svc"))
        os.makedirs(spool_folder.path)
        spool = Spool(spool_folder.path, base.name, ("nas",), 1 << 30, 0)
        store, cache = Local("nas", str(folder / "nas")), CatalogCache(str(folder / "cache"))
        state = StateFolder(str(folder / "state"))
        facts = [self.job, base, keys, PreviousIndex("svc"), DowntimeClock()]
        facts += [WarmRecord(), Dump(), Dumped(), AtRest(), CaughtUp(), ScratchFolder()]
        facts += [state, spool_folder, spool, Stores(nas=store), cache, Record()]
        facts += [Reads(path=str(source or "/source")).resolve(), HeldRoots()]
        if source:
            collect = Run.alone(*facts)
            self.pieces = list(Collect().forward(iter(()), collect))
            [report] = collect.shared.facts.provided(SourceReport).values()
        else:
            self.pieces = list(items)
            files = sum(piece.last for piece in self.pieces)
            report = SourceReport(0, {"": files}, 0)
        facts.append(report)

        def forward(stage, items):
            return list(stage.forward(iter(items), Run.alone(*facts, stage=stage.kind)))

        self.gathered = forward(Gather(), self.pieces)
        self.chunks = forward(ChunkStage(), self.gathered)
        self.segments = forward(Pack(), self.chunks)
        self.frames = forward(Compress(level=level), self.segments)
        self.sealed = forward(Encrypt(), self.frames)
        forward(SpoolStage(), self.sealed)
        parts = SpoolStage().branch(Run.alone(*facts))
        self.places = forward(Upload(destination="nas"), parts)
        forward(Confirm(destination="nas", full=True), self.places)
        spool.close(keep=False)
        catalog = cache.catalog(store, "svc", keys)
        archive = catalog.open(base.name, keys)
        self.replicas = Replicas(archive, [catalog], keys)
        restore = RestoreJob(
            service="svc", backup=archive.manifest, where="test", target=str(self.target)
        )
        self.folder = Target(str(self.target), marker(restore))
        self.facts = [ScratchFolder(), restore, self.replicas, keys, self.folder, state]
        select = Run.alone(*self.facts)
        list(Select().forward(iter(()), select))
        provided = select.shared.facts.provided
        self.facts += [*provided(Layout).values(), *provided(Selected).values()]

    def data(self, items):
        """Return the items that belong to data segments."""
        return [item for item in items if item.kind == b"d"]

    def inverse(self, stage, items):
        """Run a stage backwards."""
        return stage.inverse(items, Run.alone(*self.facts, stage=stage.kind))

    def cut(self):
        """Yield the sealed frames that a restore of everything needs."""
        places = Locate().forward(iter(()), Run.alone(*self.facts))
        return self.inverse(SpoolStage(), self.inverse(Upload(destination="nas"), places))

    def unpacked(self):
        """Yield the chunks that a restore of everything needs."""
        opened = self.inverse(Compress(), self.inverse(Encrypt(), self.cut()))
        return self.inverse(Pack(), opened)


NEW_LINE = Lineage(line="0" * 32, parent=None, sequence=1)
sizes = st.sampled_from([0, 1, 255, 262_143, 262_144, 262_145, 1 << 20, 5_000_000])
files = st.lists(st.tuples(sizes, st.integers(0, 2), st.booleans()), max_size=5)


def pieces(specs):
    """Return pieces as `read` yields them: small at once, large in blocks, some read twice."""
    for number, (size, seed, restless) in enumerate(specs):
        entry = Entry(path=f"f{number}", mode=0o644, size=size)
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


def contents(specs):
    """Return path -> content of the files that have any."""
    return {f"f{n}": noise(size, seed) for n, (size, seed, _) in enumerate(specs) if size}


def joined(items):
    """Return path -> data of chunks or pieces at their positions; they must not overlap."""
    found = {}
    for item in sorted(items, key=lambda item: item.offset):
        before = found.setdefault(item.entry.name, b"")
        assert item.offset == len(before)
        found[item.entry.name] = before + bytes(item.data)
    return found


@settings(max_examples=examples(8))
@given(files)
def test_prove_undoes_chunk(tmp_path_factory, keys, specs):
    """Chunks, proven by their names and joined, are the files again."""
    run = Run.alone(keys, RestoreJob(service="svc", backup=None, where="test"))
    chunks = list(ChunkStage().forward(pieces(specs), run))
    assert sum(chunk.last for chunk in chunks) == len(specs)
    valid = []
    for chunk in chunks:
        if chunk.again:
            valid = [one for one in valid if one.entry is not chunk.entry]
        valid += [chunk] * bool(chunk.id)
    assert joined(ChunkStage().inverse(iter(valid), run)) == contents(specs)


def test_chunk_with_other_content_than_its_name_is_refused(keys):
    """This is the last proof: content and name must agree."""
    run = Run.alone(keys, RestoreJob(service="svc", backup=None, where="test"))
    chunk = Chunk(Entry(path="x", size=1), 0, b"y", id="0" * 32)
    with pytest.raises(Damaged, match="has other content"):
        list(ChunkStage().inverse(iter([chunk]), run))


@settings(max_examples=examples(6))
@given(files)
def test_unpack_undoes_pack_compress_and_encrypt(tmp_path_factory, keys, specs):
    """From the destination back to pieces: the bytes of every file, once."""
    archive = Archive(tmp_path_factory.mktemp("archive"), keys, pieces(specs))
    assert joined(archive.unpacked()) == contents(specs)


@settings(max_examples=examples(6))
@given(files, st.sampled_from([1, 2, 9]))
def test_decrypt_and_decompress_undo_encrypt_and_compress(tmp_path_factory, keys, specs, level):
    """Frame by frame, in order, at any level."""
    archive = Archive(tmp_path_factory.mktemp("archive"), keys, pieces(specs), level=level)
    frames = list(archive.inverse(Encrypt(), iter(archive.data(archive.sealed))))
    assert [(f.number, f.data) for f in frames] == [
        (f.number, f.data) for f in archive.data(archive.frames)
    ]
    segments = list(archive.inverse(Compress(), iter(frames)))
    assert [(s.number, s.data[0]) for s in segments] == [
        (s.number, b"".join(s.data)) for s in archive.data(archive.segments)
    ]


@settings(max_examples=examples(6))
@given(files)
def test_download_and_cut_undo_spool_and_upload(tmp_path_factory, keys, specs):
    """The frames that a restore needs are the sealed ones, each in archive order."""
    archive = Archive(tmp_path_factory.mktemp("archive"), keys, pieces(specs))
    length = sum(len(sealed.data) for sealed in archive.sealed)
    [place] = archive.places
    assert (place.offset, place.length) == (0, length)
    found = [(s.number, bytes(s.data)) for s in archive.cut()]
    assert found == [(s.number, bytes(s.data)) for s in archive.data(archive.sealed)]


@settings(max_examples=examples(6))
@given(files, st.data())
def test_frame_that_is_damaged_at_the_destination_is_left_out(tmp_path_factory, keys, specs, data):
    """Only its files are lost."""
    folder = tmp_path_factory.mktemp("archive")
    archive = Archive(folder, keys, pieces(specs))
    sealed = archive.data(archive.sealed)
    if not sealed:
        return
    hit = data.draw(st.sampled_from(sealed))
    [file] = (folder / "nas" / "svc").glob("*.packrat")
    stored = bytearray(file.read_bytes())
    stored[stored.index(bytes(hit.data)) + 5] ^= 1
    file.write_bytes(stored)
    frames = list(archive.inverse(Encrypt(), archive.cut()))
    assert [f.number for f in frames] == [s.number for s in sealed if s is not hit]


@settings(max_examples=examples(6))
@given(
    st.dictionaries(
        st.sampled_from(["a", "b/c", "b/d/e", "b-x", "z", "ü/\udcff"]),
        st.builds(noise, sizes, st.integers(0, 2)),
    ),
    st.booleans(),
    st.sampled_from([0o600, 0o755, 0o4711]),
)
def test_write_undoes_collect_and_gather(tmp_path_factory, keys, tree, links, mode):
    """A tree that was read and stored, fetched and written, is the same tree."""
    folder = tmp_path_factory.mktemp("tree")
    source = folder / "source"
    fill(source, {"always": b"x"} | tree)
    (source / "always").chmod(mode)
    if links:
        os.link(source / "always", source / "also")
        os.symlink("always", source / "points")
        os.mkfifo(source / "fifo")
    archive = Archive(folder, keys, source=source)
    assert archive.gathered == archive.pieces
    run = Run.alone(*archive.facts)
    with archive.folder:
        list(Gather().inverse(archive.inverse(ChunkStage(), archive.unpacked()), run))
    assert differences(source, archive.target) == []
    [written] = run.shared.facts.provided(Written).values()
    assert written.files == sum(not path.is_dir() for path in source.rglob("*"))
    assert not written.lost
