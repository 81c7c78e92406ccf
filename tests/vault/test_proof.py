"""A damaged archive is only replaced by what has been proven good."""

import pytest

from tests.helpers.house import House, cheap_keys
from tests.helpers.trees import fill, noise
from vault.destination import Stored
from vault.errors import Damaged
from vault.local import Local
from vault.proof import bring


class PublishesFirst(Local):
    """Like S3: what was received stands under its name before it can be read back."""

    def publish(self, service, name, prove):
        super().publish(service, name, lambda _: None)
        try:
            prove(name)
        except BaseException:
            self.delete(service, name)
            raise


def test_what_rotted_replaces_nothing_that_could_still_be_read(tmp_path):
    """Both are damaged: the one that stands stays, for what is good of it."""
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
        bring(
            Local("one", str(one)),
            PublishesFirst("two", str(two)),
            "svc",
            stored,
            cheap_keys(),
            lambda _: None,
        )
    assert (two / "svc" / name).read_bytes() == before
