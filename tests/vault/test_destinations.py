"""One contract for every kind of destination, on real servers: local folder, S3, SFTP."""

import itertools

import pytest

from tests.helpers.house import cheap_keys
from tests.helpers.servers import KEY, SECRET, S3Server, SshServer
from tests.helpers.trees import noise
from vault.catalog.cache import CatalogCache
from vault.errors import Damaged, NotThere
from vault.store.base import Stored
from vault.store.local import Local
from vault.store.s3 import S3
from vault.store.sftp import Sftp
from vault.store.transfer import Copy

DATA = noise(300_000)
number = itertools.count()


@pytest.fixture(scope="module")
def servers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("servers")
    s3, nas = S3Server(folder / "s3"), SshServer(folder / "nas")
    with s3.up(), nas.up():
        yield folder / "disk", s3, nas


class At:
    """A destination as two processes see it, and the files on its server's disk."""

    def __init__(self, kind, servers):
        disk, s3, nas = servers
        url = f"http://127.0.0.1:{s3.port}"
        where, key = ("it", "127.0.0.1", nas.port, "root", "x"), str(nas.folder / "user")
        self.kind = kind
        self.make = {
            "local": lambda: Local("it", str(disk / "x")),
            "s3": lambda: S3("it", "bucket", "x", KEY, SECRET, url, "us-east-1"),
            "sftp": lambda: Sftp(*where, key, known_hosts=[str(nas.known_hosts)]),
            "sshfs": lambda: Sftp(*where, key, host_key=nas.fingerprint),
        }[kind]
        roots = {"local": disk, "s3": s3.folder / "bucket"}
        self.root = roots.get(kind, nas.folder / "login")
        self.writer, self.reader = self.make(), self.make()
        self.look_again = s3.restart if kind == "s3" else lambda: None
        """Let the server see what was done to its disk behind its back."""

    def begin(self):
        """Go on with a service that nobody has used so far."""
        self.service = f"svc{next(number)}"
        self.name = f"{self.service}-20260101T000000Z-00112233.packrat"
        self.other = f"{self.service}-20260102T000000Z-44556677.packrat"
        self.folder = self.root / "x" / self.service

    def receive(self, source, name=None):
        *_, taken = self.writer.receive(self.service, name or self.name, source, source.ranges())
        assert taken == len(DATA)

    def store(self, source, name=None):
        self.receive(source, name)
        self.writer.publish(self.service, name or self.name, lambda _: None)

    @property
    def archives(self):
        return self.reader.archives(self.service)

    @property
    def files(self):
        """Give the names of all files that stand there."""
        return sorted(p.name for p in self.folder.rglob("*") if p.is_file())

    @property
    def uploads(self):
        """Give the unfinished uploads that the server itself knows of."""
        if self.kind != "s3":
            return []
        prefix = f"x/{self.service}/"
        try:
            answer = self.reader._do("list", "list_multipart_uploads", Prefix=prefix)
        except NotThere:
            return []
        return answer.get("Uploads") or []


@pytest.fixture(scope="module", params=["local", "s3", "sftp", "sshfs"])
def kind(request, servers):
    return At(request.param, servers)


@pytest.fixture
def at(kind, impatient):
    kind.begin()
    return kind


@pytest.fixture
def source(tmp_path):
    """Give what is copied to the destination: an archive at another one."""
    (tmp_path / "from" / "svc").mkdir(parents=True)
    (tmp_path / "from" / "svc" / "name").write_bytes(DATA)
    return Copy(Local("from", str(tmp_path / "from")), "svc", "name", len(DATA))


def test_listed_once_published_and_the_same_bytes(at, source):
    """Nobody's list shows an archive before it is published; then everybody's does, whole."""
    at.receive(source)
    assert at.archives == []
    at.writer.publish(at.service, at.name, lambda _: None)
    assert at.archives == [Stored(at.name, len(DATA))]
    assert at.service in at.reader.services()
    assert at.reader.size(at.service, at.name) == len(DATA)
    assert at.reader.read(at.service, at.name, 0, len(DATA)) == DATA
    assert (at.files, at.uploads) == ([at.name], [])


def test_what_the_proof_refuses_is_not_there(at, source):
    """The proof reads what arrived; what it refuses has no final name, and discard drops it."""
    at.receive(source)

    def refuse(name):
        assert at.writer.read(at.service, name, 7, 9) == DATA[7:16]
        raise Damaged(at.name, "not as it should be")

    with pytest.raises(Damaged):
        at.writer.publish(at.service, at.name, refuse)
    assert at.archives == []
    at.writer.discard(at.service, at.name)
    assert (at.files, at.uploads) == ([], [])


def test_what_a_dead_writer_left_is_cleaned_away_and_no_more(at, source):
    """A run that dies leaves something unfinished; the next one's `clean` leaves the rest alone."""
    at.store(source, at.other)
    (at.folder / "notes.txt").write_text("mine")
    next(at.writer.receive(at.service, at.name, source, source.ranges()))
    assert len(at.uploads) == (at.kind == "s3")
    at.reader.clean(at.service)
    assert (at.files, at.uploads) == (["notes.txt", at.other], [])
    at.store(source)
    assert [one.name for one in at.archives] == [at.name, at.other]


def test_a_discarded_one_leaves_nothing(at, source):
    """Given up in the middle, and discarded twice."""
    next(at.writer.receive(at.service, at.name, source, source.ranges()))
    at.writer.discard(at.service, at.name)
    at.writer.discard(at.service, at.name)
    assert (at.files, at.uploads) == ([], [])


def test_ranges_are_as_asked_for_and_short_at_the_end(at, source):
    """A range gives what there is of it; one that begins behind the end is empty, no error."""
    at.store(source)
    for offset, length in ((0, 1), (5, 100_000), (299_990, 500), (300_000, 72), (400_000, 1)):
        found = at.reader.read(at.service, at.name, offset, length)
        assert found == DATA[offset : offset + length]
    assert at.reader.read(at.service, at.name, 0, 0) == b""


def test_what_is_not_there_says_so(at):
    """A destination that was never used is empty; a file that is not there is NotThere."""
    assert at.service not in at.reader.services()
    assert at.archives == []
    at.writer.clean(at.service)
    at.writer.discard(at.service, at.name)
    for action in (at.reader.size, lambda *file: at.reader.read(*file, 0, 9)):
        with pytest.raises(NotThere, match="it"):
            action(at.service, at.name)


def test_an_empty_file_under_an_archives_name_is_damage_of_that_one(at, source, tmp_path):
    """It is shown as damaged; the destination is not away for it, nor are its other archives."""
    at.store(source)
    (at.folder / at.other).write_bytes(b"")
    at.look_again()
    catalog = CatalogCache(str(tmp_path / "cache")).catalog(at.reader, at.service, cheap_keys())
    assert [held.stored.size for held in catalog.held] == [len(DATA), 0]
    assert all(held.stored.name in held.problem for held in catalog.held)


def test_deleting_is_for_one_file(at, source):
    """The other archives stay."""
    for name in (at.name, at.other):
        at.store(source, name)
    at.writer.delete(at.service, at.name)
    assert [one.name for one in at.archives] == [at.other]


def test_a_damaged_one_is_replaced_by_good_bytes(at, source):
    """Publishing over a damaged file leaves the good one, whole."""
    at.folder.mkdir(parents=True)
    (at.folder / at.name).write_bytes(b"rotten")
    at.look_again()
    at.store(source)
    assert at.reader.read(at.service, at.name, 0, 1 << 20) == DATA
    assert at.files == [at.name]


def test_a_probe_leaves_nothing(at):
    """`check --connect` writes, reads back, renames and deletes."""
    at.writer.probe("token")
    assert [p for p in at.root.rglob("*token*") if p.is_file()] == []


def test_only_archives_of_this_service_are_archives(at, source):
    """Foreign files, folders and other services' archives are no archives of it."""
    at.store(source)
    for name in ("notes.txt", f"{at.other}.bak", ".hidden", f"svc-{at.other}"):
        (at.folder / name).write_text("x")
    (at.folder / at.other).mkdir()
    (at.folder / at.other / "inner").write_text("x")
    assert [one.name for one in at.archives] == [at.name]
