"""Replicas are read from the next destination when one fails, and can be cancelled there, too."""

import pytest

from engine.run import Cancelled
from stages.replicas import Replicas
from tests.helpers.house import House
from tests.helpers.trees import fill
from vault.errors import Away
from vault.store.local import Local


class Fails(Local):
    """A store that has gone away since it was listed."""

    def read(self, *_):
        raise Away("gone", "")


class Watched(Local):
    """A store that asks whether to go on, as one behind a slow line does."""

    def read(self, service, name, offset, length, check=lambda: None):
        for _ in range(3):
            check()
        return super().read(service, name, offset, length, check)


@pytest.fixture
def replicas(tmp_path):
    house = House(tmp_path, ("one", "two"))
    fill(house.source, {"a": b"1"})
    house.backed_up()
    one, two = house.catalog("one"), house.catalog("two")
    archive = one.open(one.backups[-1].stored.name, house.program.keys)
    one.destination = Fails("one", str(house.stores["one"]))
    two.destination = Watched("two", str(house.stores["two"]))
    return Replicas(archive, [one, two], house.program.keys)


def test_read_fails_over_to_the_next_destination(replicas):
    id_ = next(iter(replicas._opened))
    assert len(replicas.read(id_, 0, 8, lambda: None)) == 8
    [note] = replicas.notes.values()
    assert note.endswith("read from two instead")


def test_read_at_the_second_destination_can_be_cancelled(replicas):
    """Ctrl-C after a failover ends that read at once, not when its bytes have come."""
    asked = []

    def check():
        asked.append(1)
        if len(asked) > 2:  # once before each destination, then in the second one's read
            raise Cancelled

    with pytest.raises(Cancelled):
        replicas.read(next(iter(replicas._opened)), 0, 8, check)
    assert len(asked) == 3
