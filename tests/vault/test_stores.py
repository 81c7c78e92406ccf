"""Contract of every kind of store, on real servers."""

import pytest

from tests.helpers.house import cheap_keys
from tests.helpers.stores import KINDS, At, Servers
from tests.helpers.trees import noise
from vault.catalog.cache import CatalogCache
from vault.errors import Damaged, NotThere
from vault.store.base import Stored
from vault.store.local import Local
from vault.store.probe import probe
from vault.store.upload import in_memory

DATA = noise(300_000)


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    servers = Servers(tmp_path_factory.mktemp("servers"))
    with servers.stack:
        yield servers


@pytest.fixture(scope="module", params=KINDS)
def kind(request, servers):
    return At(request.param, servers)


@pytest.fixture
def at(kind, impatient):
    kind.begin()
    return kind


def written(at, name=None, data=DATA):
    *_, taken = at.writer.write(at.service, name or at.name, parts(data))
    assert taken == len(data)


def stored(at, name=None, data=DATA):
    written(at, name, data)
    at.writer.commit(at.service, name or at.name, lambda _: None)


def parts(data, size=70_000):
    for start in range(0, len(data), size):
        yield in_memory(data[start : start + size], start)


def test_listed_once_committed_and_the_same_bytes(at):
    """No listing shows an archive before it is committed; afterwards all do, whole."""
    written(at)
    assert at.archives == []
    at.writer.commit(at.service, at.name, lambda _: None)
    assert at.archives == [Stored(at.name, len(DATA))]
    assert at.service in at.reader.services()
    assert at.reader.size(at.service, at.name) == len(DATA)
    assert at.reader.read(at.service, at.name, 0, len(DATA)) == DATA
    assert (at.files, at.uploads) == ([at.name], [])


def test_an_archive_that_the_proof_refuses_is_not_listed(at):
    """The proof reads what arrived; a refused file has no final name, and discard deletes it."""
    written(at)

    def refuse(name):
        assert at.writer.read(at.service, name, 7, 9) == DATA[7:16]
        raise Damaged(at.name, "not as it should be")

    with pytest.raises(Damaged):
        at.writer.commit(at.service, at.name, refuse)
    assert at.archives == []
    at.writer.discard(at.service, at.name)
    assert (at.files, at.uploads) == ([], [])


def test_the_proof_reads_the_final_file_where_a_rename_copies(at):
    """Without an atomic rename a second proof reads the copy and deletes a bad one."""
    names = []
    written(at)

    def refuse_the_last(name):
        names.append(name)
        if name == at.name:
            raise Damaged(at.name, "copied badly")

    atomic = at.writer.properties.atomic_rename
    if atomic:
        at.writer.commit(at.service, at.name, refuse_the_last)
    else:
        with pytest.raises(Damaged):
            at.writer.commit(at.service, at.name, refuse_the_last)
    assert bool(at.archives) == atomic
    assert (at.name in names) != atomic


def test_clean_deletes_only_files_of_dead_writers(at):
    """A dead run leaves an unfinished file; `clean` of the next one deletes nothing else."""
    stored(at, at.other)
    at.put("notes.txt", b"mine")
    upload = at.open().upload(at.service, at.name)
    upload.put(1, in_memory(DATA), lambda: None)
    assert len(at.uploads) == at.kind.startswith("s3")
    del upload
    at.reader.clean(at.service)
    assert at.uploads == []
    assert [name for name in at.files if not name.startswith(".")] == ["notes.txt", at.other]
    stored(at)
    assert [one.name for one in at.archives] == [at.name, at.other]


def test_clean_leaves_what_began_later(at):
    """An upload that another machine began after the given time is not deleted."""
    written(at)
    at.reader.clean(at.service, "20260101T000000Z")
    at.writer.commit(at.service, at.name, lambda _: None)
    assert [one.name for one in at.archives] == [at.name]


def test_a_discarded_archive_leaves_nothing(at):
    """Abandoned in the middle, and discarded twice."""
    writing = at.writer.write(at.service, at.name, parts(DATA))
    next(writing)
    writing.close()
    at.writer.discard(at.service, at.name)
    at.writer.discard(at.service, at.name)
    assert (at.files, at.uploads) == ([], [])


def test_ranges_are_as_requested_and_short_at_the_end(at):
    """A range that begins beyond the end is empty, and no error."""
    stored(at)
    for offset, length in ((0, 1), (5, 100_000), (299_990, 500), (300_000, 72), (400_000, 1)):
        found = at.reader.read(at.service, at.name, offset, length)
        assert found == DATA[offset : offset + length]
    assert at.reader.read(at.service, at.name, 0, 0) == b""


def test_an_archive_without_bytes_can_be_written(at):
    """No parts at all."""
    assert list(at.writer.write(at.service, at.name, iter(()))) == [0]
    at.writer.commit(at.service, at.name, lambda _: None)
    assert at.archives == [Stored(at.name, 0)]


def test_a_missing_file_is_not_there(at):
    """An unused store is empty; a missing file raises NotThere, not Away."""
    assert at.service not in at.reader.services()
    assert at.archives == []
    at.writer.clean(at.service)
    at.writer.discard(at.service, at.name)
    for action in (at.reader.size, lambda *file: at.reader.read(*file, 0, 9)):
        with pytest.raises(NotThere, match="it"):
            action(at.service, at.name)


def test_an_empty_file_under_an_archives_name_is_damage_of_that_archive(at, tmp_path):
    """It is shown as damaged; neither the store nor its other archives are affected."""
    stored(at)
    at.put(at.other, b"")
    catalog = CatalogCache(str(tmp_path / "cache")).catalog(at.reader, at.service, cheap_keys())
    assert [item.stored.size for item in catalog.listed] == [len(DATA), 0]
    assert all(item.stored.name in item.problem for item in catalog.listed)


def test_delete_deletes_one_file(at):
    """The other archives stay."""
    for name in (at.name, at.other):
        stored(at, name)
    at.writer.delete(at.service, at.name)
    assert [one.name for one in at.archives] == [at.other]


def test_a_damaged_archive_is_replaced_by_good_bytes(at):
    """Committing over a damaged file leaves the good one, whole."""
    at.put(at.name, b"rotten")
    stored(at)
    assert at.reader.read(at.service, at.name, 0, 1 << 20) == DATA
    assert at.files == [at.name]


def test_a_probe_leaves_nothing_and_names_what_the_filesystem_cannot_do(at):
    """`check --connect` does everything that a backup does."""
    said = " ".join(probe(at.writer, f"token{at.service}"))
    can = at.writer.properties
    assert ("rename" in said) != (can.atomic_rename or can.hidden_until_commit)
    assert ("temporary file" in said) != can.streams_writes
    assert [path for path in at.side.find(at.root) if "token" in path] == []


def test_only_archives_of_this_service_are_archives(at):
    """Foreign files, folders and other services' archives are not listed."""
    stored(at)
    for name in ("notes.txt", f"{at.other}.bak", ".hidden", f"svc-{at.other}"):
        at.put(name, b"x")
    at.put(f"{at.other}/inner", b"x")
    assert [one.name for one in at.archives] == [at.name]


def test_an_archive_is_transferred_from_store_to_store(at, tmp_path):
    """The parts of a stored archive are the source of another upload."""
    (tmp_path / "from" / "svc").mkdir(parents=True)
    (tmp_path / "from" / "svc" / "name").write_bytes(DATA)
    source = Local("from", str(tmp_path / "from")).parts("svc", "name", len(DATA))
    assert list(at.writer.write(at.service, at.name, source)) == [len(DATA)]
    at.writer.commit(at.service, at.name, lambda _: None)
    assert at.reader.read(at.service, at.name, 0, 1 << 20) == DATA
