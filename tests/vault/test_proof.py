"""Proofs: a damaged archive is only replaced by one that has been proven good."""

import pytest

from tests.helpers.house import House, cheap_keys
from tests.helpers.trees import fill, noise
from vault.catalog.replicate import copy_archive
from vault.errors import Damaged
from vault.store.base import Properties, Stored
from vault.store.local import Local


class PublishesFirst(Local):
    """Like S3: a written file gets its name before it can be read back."""

    def __init__(self, name, root):
        super().__init__(name, root)
        self.properties = Properties(atomic_rename=False, hidden_until_commit=True)


@pytest.mark.parametrize("good", [True, False])
def test_an_archive_of_a_killed_run_counts_once_it_is_proven(tmp_path, monkeypatch, good):
    """Killed between publishing and the proof: not listed until the next run has proven it."""
    house = House(tmp_path)
    fill(house.source, {"a": noise(3 << 20, 1)})
    with monkeypatch.context() as killed:
        killed.setattr("vault.catalog.cache.CatalogCache.end_proof", lambda *_: None)
        archive = house.backed_up()
    assert house.json("list") == []
    if not good:
        data = bytearray(archive.read_bytes())
        data[len(data) // 2] ^= 1
        archive.unlink()
        archive.write_bytes(data)
    house.backed_up()
    listed = [row["id"] for row in house.json("list")]
    assert (archive.name.rpartition("-")[2][:8] in listed) == good
    assert len(listed) == 1 + good


def test_a_damaged_source_replaces_no_readable_archive(tmp_path):
    """If both are damaged, the existing one stays, for its undamaged parts."""
    house = House(tmp_path, ("one", "two"))
    fill(house.source, {"a": noise(3 << 20, 1)})
    name = house.backed_up().name
    for number, store in enumerate(house.stores.values()):
        data = bytearray((store / "svc" / name).read_bytes())
        data[len(data) // 2 + number] ^= 1
        (store / "svc" / name).unlink()
        (store / "svc" / name).write_bytes(data)
    one, two = house.stores.values()
    before = (two / "svc" / name).read_bytes()
    stored = Stored(name, len(before))
    with pytest.raises(Damaged):
        copy_archive(
            Local("one", str(one)),
            PublishesFirst("two", str(two)),
            "svc",
            stored,
            cheap_keys(),
            lambda _: None,
        )
    assert (two / "svc" / name).read_bytes() == before
