"""Power cuts: the content of the disk at any moment of a restore, an undo or a forget."""

import pytest

from tests.helpers.faults import KILL
from tests.helpers.house import House
from tests.helpers.in_place import Place
from tests.helpers.in_place_faults import OPERATIONS, PowerCut, campaign, names
from tests.helpers.needs import need_loop_devices
from tests.helpers.trees import fill

pytestmark = pytest.mark.root
STEP = 19


@pytest.fixture
def power(tmp_path):
    """Disk whose content at any moment can be mounted elsewhere."""
    need_loop_devices()
    with PowerCut(tmp_path) as power:
        yield power


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_power_cut_leaves_the_old_state_or_the_new_one_and_loses_nothing(power, operation):
    numbers = range(3, 2000, STEP)
    assert campaign(power.disk, operation, KILL, numbers=numbers, power=power) > 1


def test_a_backup_to_a_new_folder_survives_a_power_cut(power, tmp_path):
    """The folders above the new destination are synced, too."""
    house = House(tmp_path / "house", backup={"local": {"path": str(power.disk / "a/b/store")}})
    fill(house.source, {"a": b"1"})
    assert house.cli("backup", "svc").returncode == 0
    with power.snapshot() as disk:
        assert len(list((disk / "a/b/store/svc").glob("*.packrat"))) == 1


def test_a_reported_result_survives_a_power_cut(power):
    place = Place(power.disk / "room").fill()
    power.sync()
    for work, state in ((place.restore, place.new), (place.undo, place.old)):
        work()
        with power.cut(place) as after:
            assert after.recover() == type(after.recover())()
            assert after.look() == state
    place.forget()
    with power.cut(place) as after:
        assert not list(after.path.glob(".packrat*"))
        assert names(after)["a"] == place.old["a"]
        assert names(after).keys() == place.old.keys()
