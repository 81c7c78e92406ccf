"""Cache: whatever happens to its file, no command ends because of it."""

import os
import random
import shutil
import sqlite3
import subprocess
import sys
import threading

import pytest

from tests.helpers.house import House, cheap_keys
from tests.helpers.needs import need_loop_devices
from tests.helpers.trees import fill, noise
from vault.catalog.cache import CatalogCache
from vault.catalog.sqlite_file import SqliteFile
from vault.errors import Away
from vault.store.base import Stored
from vault.store.local import Local


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """House with three archives, and its cache, large enough to have inner pages."""
    house = House(tmp_path_factory.mktemp("chain"))
    for number in range(3):
        fill(house.source, {f"{number}": noise(5000, number)})
        house.backed_up()
    cache = CatalogCache(str(house.state / "catalog.sqlite"))
    for number in range(200):
        other = Local(f"other{number}", f"/other/{'x' * 90}{number}")
        cache.prove(other, "svc", house.catalog().listed[0].stored, 1.0, "damaged " * 20)
    cache.close()
    return house


@pytest.fixture
def copied(chain, tmp_path):
    """Copy of its cache, and its destination."""
    path = tmp_path / "catalog.sqlite"
    shutil.copy(chain.state / "catalog.sqlite", path)
    return path, Local("local", str(chain.stores["local"]))


def everything(cache, place):
    """Use every query once; return how many backups are seen."""
    found = len(cache.catalog(place, "svc", cheap_keys()).backups)
    one = cache.catalog(place, "svc", cheap_keys()).listed[0].stored
    cache.remembered()
    cache.proofs(place, "svc")
    cache.emptied(place)
    cache.begin_proof(place, "svc", one)
    cache.end_proof(place, "svc", one)
    cache.prove(place, "svc", one, 2.0)
    return found


@pytest.mark.parametrize("opened", [False, True])
@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.thorough
def test_garbage_in_any_page_leads_to_a_rebuild(copied, opened, aside):
    """Before or after it is opened: the destination is authoritative."""
    path, place = copied
    whole = path.read_bytes()
    pages = len(whole) // 4096
    assert pages > 8
    for page in range(pages):
        path.write_bytes(whole)
        cache = CatalogCache(str(path), aside=aside) if opened else None
        with open(path, "r+b") as file:
            file.seek(page * 4096)
            file.write(random.Random(page).randbytes(4096))
        cache = cache or CatalogCache(str(path), aside=aside)
        assert everything(cache, place) == 3
        cache.close()
        cache = CatalogCache(str(path))
        assert everything(cache, place) == 3
        cache.close()


def test_flipped_bits_never_change_what_is_a_backup(copied):
    """A summary with a flipped bit is not trusted, and read again from the archive."""
    path, place = copied
    whole = path.read_bytes()
    chance = random.Random(7)
    summaries = [at for at in range(len(whole)) if whole.startswith(b'"archives":', at)]
    assert len(summaries) >= 3
    places = [chance.randrange(len(whole)) for _ in range(150)]
    places += [at + chance.randrange(-200, 200) for at in summaries for _ in range(20)]
    truth = None
    for at in places:
        data = bytearray(whole)
        data[at] ^= 1 << chance.randrange(8)
        path.write_bytes(data)
        cache = CatalogCache(str(path))
        found = [(h.stored, h.summary) for h in cache.catalog(place, "svc", cheap_keys()).listed]
        truth = truth or found
        assert found == truth
        cache.close()


def test_a_cache_that_cannot_be_read_is_replaced_in_memory(copied, monkeypatch):
    """After one EIO while reading, this run works without it, and the file stays as it is."""
    path, place = copied
    before = path.read_bytes()
    cache = CatalogCache(str(path))
    real = cache._file._db

    class Broken:
        def execute(self, *_):
            error = sqlite3.OperationalError("disk I/O error")
            error.sqlite_errorcode = sqlite3.SQLITE_IOERR_READ
            raise error

        def close(self):
            real.close()

        in_transaction = False

    cache._file._db = Broken()
    assert everything(cache, place) == 3
    cache.close()
    assert path.read_bytes() == before


def test_rows_of_wrong_types_are_skipped(tmp_path, copied):
    """SQLite stores any type in any column."""
    path, place = copied
    with sqlite3.connect(path) as db:
        db.execute("UPDATE archives SET summary = 7, key = 'text' WHERE rowid = 1")
        db.execute("UPDATE proofs SET time = 'never'")
        db.execute("UPDATE archives SET size = 'large' WHERE rowid = 2")
    cache = CatalogCache(str(path))
    assert everything(cache, place) == 3
    cache.close()


def test_threads_may_share_a_file_that_is_being_replaced(copied):
    """The branches of a run share one cache."""
    path, place = copied
    cache = CatalogCache(str(path))
    with open(path, "r+b") as file:
        for page in range(1, os.path.getsize(path) // 4096):
            file.seek(page * 4096)
            file.write(b"\xff" * 4096)
    found = []

    def use():
        found.append(len(cache.catalog(place, "svc", cheap_keys(), marks=False).backups))
        cache.remembered()
        cache.prove(place, "svc", Stored("x", 1), 1.0)

    threads = [threading.Thread(target=use) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert found == [3, 3, 3, 3]
    cache.close()


def test_two_processes_may_write_at_once(tmp_path):
    """Jobs of the daemon share the cache; none waits for ever, and nothing is lost."""
    path = tmp_path / "catalog.sqlite"
    script = (
        "import sys; from vault.catalog.cache import CatalogCache; from vault.store.local import"
        " Local; from vault.store.base import Stored\n"
        "cache = CatalogCache(sys.argv[1]); place = Local('l', '/l')\n"
        "for n in range(100): cache.prove(place, 'svc', Stored(f'{sys.argv[2]}-{n}', n), 1.0)\n"
    )
    jobs = [subprocess.Popen([sys.executable, "-c", script, path, str(n)]) for n in range(3)]
    assert [job.wait() for job in jobs] == [0, 0, 0]
    cache = CatalogCache(str(path))
    assert len(cache.proofs(Local("l", "/l"), "svc")) == 300


@pytest.mark.root
def test_a_full_small_disk_is_no_sigbus(tmp_path):
    """SQLite's shared memory is mapped; touching it on a full ext4 with 1 KiB blocks kills."""
    need_loop_devices()
    image, disk = tmp_path / "image", tmp_path / "disk"
    disk.mkdir()
    with open(image, "wb") as file:
        file.truncate(1 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-b", "1024", "-O", "^has_journal", image], check=True)
    subprocess.run(["mount", "-o", "loop", image, disk], check=True)
    script = (
        "import sys; from vault.catalog.cache import CatalogCache; from vault.store.local import"
        " Local; from vault.store.base import Stored\n"
        "cache = CatalogCache(sys.argv[1] + '/catalog.sqlite'); place = Local('l', '/l')\n"
        "cache.prove(place, 'svc', Stored('first', 1), 1.0)\n"
        "with open(sys.argv[1] + '/full', 'wb', 0) as file:\n"
        "    try:\n"
        "        while file.write(bytes(1024)): pass\n"
        "    except OSError: pass\n"
        "for n in range(200): cache.prove(place, 'svc', Stored(f'n{n}', n), 1.0, 'x' * 900)\n"
        "again = CatalogCache(sys.argv[1] + '/catalog.sqlite')\n"
        "assert 'first' in again.proofs(place, 'svc'), again.proofs(place, 'svc')\n"
        "print(len(cache.proofs(place, 'svc')))\n"
    )
    try:
        done = subprocess.run(
            [sys.executable, "-c", script, disk], capture_output=True, text=True, check=False
        )
    finally:
        subprocess.run(["umount", disk], check=True)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) == 201, "what the disk has no room for is kept in memory"


class Panic(BaseException):
    """Panic as PyO3 raises it, which is not an Exception."""


Panic.__name__ = "PanicException"


@pytest.mark.parametrize(
    "error",
    [Panic("out of range"), OverflowError("x"), KeyError("y"), MemoryError(), RecursionError()],
)
@pytest.mark.parametrize("call", ["files", "read"])
def test_any_exception_of_one_destination_is_its_own(chain, tmp_path, monkeypatch, error, call):
    """The other one is listed; a request to end the program is not swallowed."""
    good, bad = (Local(name, str(chain.stores["local"])) for name in ("good", "bad"))
    raised = error

    def fail(*_):
        raise raised

    monkeypatch.setattr(bad, call, fail)
    cache = CatalogCache(str(tmp_path / "catalog.sqlite"))
    found, away = cache.catalogs({"good": good, "bad": bad}, "svc", cheap_keys())
    assert len(found["good"].backups) == 3
    if call == "files":
        assert isinstance(away["bad"], Away)
        assert f"unexpected {type(error).__name__}" in str(away["bad"])
    else:
        assert [type(error).__name__ in item.problem for item in found["bad"].listed] == [True] * 3
    raised = KeyboardInterrupt()
    with pytest.raises(KeyboardInterrupt):
        cache.catalog(bad, "svc", cheap_keys())


def test_a_statement_that_fails_twice_answers_nothing(tmp_path):
    """A query never ends a command."""
    file = SqliteFile(str(tmp_path / "x.sqlite"), lambda _: None)
    assert file.ask(tuple[int], "SELECT n FROM nothing") == []
    file.note("INSERT INTO nothing VALUES (1)")
    file.close()
