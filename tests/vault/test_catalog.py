"""Catalog: it tells backups from bases, locked and damaged archives; its cache may be lost."""

import os
import shutil
import sqlite3

import pytest

from tests.helpers.house import House, cheap_keys
from tests.helpers.trees import fill, noise
from vault.catalog.cache import CatalogCache
from vault.catalog.catalog import missing, open_archive
from vault.catalog.record import Record
from vault.errors import Away, Damaged
from vault.store.local import Local


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """House whose third archive refers to the first two."""
    house = House(tmp_path_factory.mktemp("chain"))
    for number in range(3):
        fill(house.source, {f"{number}": noise(5000, number)})
        house.backed_up()
    return house


@pytest.fixture
def place(chain, tmp_path):
    """Copy of its destination."""
    shutil.copytree(chain.store, tmp_path / "store" / "svc")
    return Local("copy", str(tmp_path / "store"))


@pytest.fixture
def cache(tmp_path):
    return CatalogCache(str(tmp_path / "state" / "catalog.sqlite"))


def names(found):
    return [item.stored.name for item in found]


def test_a_backup_is_an_archive_that_has_all_it_refers_to(chain, place, cache):
    """Without them an archive is a base: it can be referred to, and is not listed."""
    first, second, third = [path.name for path in chain.archives]
    assert names(cache.catalog(place, "svc", cheap_keys()).backups) == [first, second, third]
    place.delete("svc", second)
    catalog = cache.catalog(place, "svc", cheap_keys())
    assert names(catalog.backups) == [first]
    assert names(catalog.listed) == [first, third]
    assert missing(catalog.listed[1].summary, catalog.referable) == [second]


def test_a_reference_of_another_size_is_missing(chain, place, cache):
    """A referenced archive must have its original size."""
    catalog = cache.catalog(place, "svc", cheap_keys())
    summary = catalog.backups[-1].summary
    other = summary.archives[0]
    other.size += 1
    assert missing(summary, catalog.referable) == [other.name]


def test_a_cached_archive_is_not_opened(chain, place, cache, monkeypatch):
    """An archive that was opened once under this key is only listed the next time."""
    cache.catalog(place, "svc", cheap_keys())
    monkeypatch.setattr(Local, "read", None)
    assert len(cache.catalog(place, "svc", cheap_keys()).backups) == 3


def test_a_listed_archive_is_opened_by_its_size(chain, place, cache, monkeypatch):
    """The size is not requested again; a file that was truncated since proves damaged."""
    catalog = cache.catalog(place, "svc", cheap_keys())
    newest = catalog.backups[-1].stored
    monkeypatch.setattr(Local, "size", None)
    assert catalog.open(newest.name, cheap_keys()).size == newest.size
    os.truncate(os.path.join(place.root, "svc", newest.name), newest.size - 1)
    with pytest.raises(Damaged):
        catalog.open(newest.name, cheap_keys())


def test_a_file_that_changed_its_size_is_opened_again(chain, place, cache):
    """The cache applies to a name and a size; a grown file is damaged."""
    cache.catalog(place, "svc", cheap_keys())
    path = os.path.join(place.root, "svc", chain.archives[-1].name)
    with open(path, "ab") as file:
        file.write(b"!")
    catalog = cache.catalog(place, "svc", cheap_keys())
    assert chain.archives[-1].name in catalog.listed[-1].problem
    assert len(catalog.backups) == 2


def test_a_summary_counts_only_under_the_key_that_made_it(place, cache):
    """After a change of keys everything is locked, whatever the cache has; and back."""
    assert len(cache.catalog(place, "svc", cheap_keys()).backups) == 3
    other = cheap_keys("another")
    assert [item.locked for item in cache.catalog(place, "svc", other).listed] == [True] * 3
    assert len(cache.catalog(place, "svc", cheap_keys()).backups) == 3


def test_locked_and_damaged_are_distinguished(chain, place, cache):
    """Under another key: locked. With other bytes than were written: damaged."""
    with open(os.path.join(place.root, "svc", chain.archives[1].name), "r+b") as file:
        file.write(b"rubbish")
    item = cache.catalog(place, "svc", cheap_keys()).listed
    assert [(one.locked, bool(one.problem)) for one in item] == [
        (False, False),
        (False, True),
        (False, False),
    ]
    item = cache.catalog(place, "svc", cheap_keys("another")).listed
    assert [one.locked for one in item] == [True, False, True]


def test_an_empty_list_where_archives_were_is_away_until_accepted(place, cache, tmp_path):
    """An unmounted disk lists nothing: that is an error until `forget` accepts it."""
    cache.catalog(place, "svc", cheap_keys())
    shutil.rmtree(place.root)
    os.mkdir(place.root)
    for _ in range(2):
        with pytest.raises(Away, match="now lists none"):
            cache.catalog(place, "svc", cheap_keys())
    cache.forget(place, Record())
    assert cache.catalog(place, "svc", cheap_keys()).listed == []


def test_one_that_is_gone_is_forgotten(chain, place, cache):
    """A deleted archive that comes back is opened again."""
    path = os.path.join(place.root, "svc", chain.archives[-1].name)
    cache.catalog(place, "svc", cheap_keys())
    os.rename(path, path + ".away")
    assert len(cache.catalog(place, "svc", cheap_keys()).listed) == 2
    with open(path, "wb") as file:
        file.write(bytes(os.stat(path + ".away").st_size))
    assert cache.catalog(place, "svc", cheap_keys()).listed[-1].problem


@pytest.mark.parametrize("aside", [False, True])
@pytest.mark.parametrize("content", [b"", b"not a database at all", bytes(5000), None])
def test_a_damaged_cache_is_recreated(place, tmp_path, content, aside):
    """If it has garbage or is a folder, the destination is authoritative."""
    path = tmp_path / "damaged.sqlite"
    if content is None:
        path.mkdir()
    else:
        path.write_bytes(content)
    cache = CatalogCache(str(path), aside=aside)
    assert len(cache.catalog(place, "svc", cheap_keys()).backups) == 3
    cache.close()


@pytest.mark.parametrize("aside", [False, True])
def test_a_cache_of_another_version_is_recreated(place, tmp_path, aside):
    """The cache of another version of packrat, with other columns, is replaced."""
    path = tmp_path / "old.sqlite"
    db = sqlite3.connect(path)
    db.execute("CREATE TABLE archives (destination TEXT, service TEXT, name TEXT)")
    db.commit()
    db.close()
    cache = CatalogCache(str(path), aside=aside)
    assert len(cache.catalog(place, "svc", cheap_keys()).backups) == 3
    cache.close()


def test_nothing_foreign_is_ever_touched(tmp_path):
    """Backups, prunes and the cleanup after dead runs leave foreign files alone."""
    house = House(tmp_path, keep=1)
    house.store.mkdir(parents=True)
    name = "svc-20200101T000000Z-00112233.packrat"
    theirs = {"notes.txt": b"x", ".hidden": b"", name: b"somebody's", "a/b.packrat": b"y"}
    fill(house.store, theirs)
    for number in range(4):
        fill(house.source, {"only": noise(9000, number)})
        assert house.back_up(full=True).status == "done"
    assert house.json("prune", "svc") == []
    assert len(house.catalog().backups) == 1
    found = {
        str(path.relative_to(house.store)): path.read_bytes()
        for path in house.store.rglob("*")
        if path.is_file()
    }
    assert theirs.items() <= found.items()
    assert len(found) == len(theirs) + 1


def test_an_archive_opens_with_two_reads(chain, monkeypatch):
    """Opening reads the header and the tail, however large the archive is."""
    reads = []
    original = Local.read

    def read(self, *place):
        reads.append(place)
        return original(self, *place)

    monkeypatch.setattr(Local, "read", read)
    place = Local("local", str(chain.stores["local"]))
    open_archive(place, "svc", chain.archives[0].name, cheap_keys())
    assert len(reads) == 2
