"""Law 6: a destination catches up later; after an interruption nothing is lost or redone."""

import subprocess

import pytest

from tests.helpers.disks import disk
from tests.helpers.house import House
from tests.helpers.network import done, level
from tests.helpers.trees import differences, fill, noise


@pytest.mark.root
def test_cut_off_between_a_base_and_what_refers_to_it(tmp_path):
    """A new disk only has room for the base: that stays, is not copied twice, and is used."""
    one = House(tmp_path, keep=1, destinations=("one",))
    fill(one.source, {"base": noise(1 << 20)})
    base = one.backed_up().name
    fill(one.source, {"large": noise(3 << 20, 2)})
    one.backed_up()
    both = House(tmp_path, keep=1, destinations=("one", "two"))
    with disk(both.stores["two"], "size=2500k") as small:
        stood = set()
        for run in range(3):
            fill(both.source, {"small": noise(100, run)})
            result = both.back_up()
            assert (result.status, result.exit) == ("partial", 5), result
            assert "No space left on device; make room there" in result.error
            assert both.cli("prune").returncode == 0
            assert [item.stored.name for item in both.catalog("two").backups] == [base]
            stood.add((small / "svc" / base).stat().st_ctime_ns)
        subprocess.run(["mount", "-o", "remount,size=64m", small], check=True)
        assert done(both.back_up())
        stood.add((small / "svc" / base).stat().st_ctime_ns)
        assert len(stood) == 1, "it was copied once"
        assert level(both, "one", "two")
        assert both.litter() == []
        out = str(both.root / "out")
        assert both.cli("restore", "svc", "--from", "two", "--to", out, "--yes").returncode == 0
        assert differences(both.source, both.root / "out") == []


def test_a_source_that_has_rotted_in_place_is_marked_and_replaced(tmp_path):
    """Catch-up names the destination with the damage, and the next backup builds around it."""
    house = House(tmp_path, ("one", "two"))
    fill(house.source, {"a": noise(100_000)})
    first = house.backed_up()
    fill(house.source, {"b": noise(1000)})
    house.backed_up()
    (house.stores["two"] / "svc" / first.name).unlink()
    data = bytearray(first.read_bytes())
    data[len(data) // 2] ^= 1
    first.unlink()  # the spool may share the file by a link
    first.write_bytes(data)
    result = house.back_up()
    assert "one:svc/" in " ".join(result.warnings)
    [held] = [one for one in house.catalog("one").listed if one.stored.name == first.name]
    assert "is damaged" in held.problem
    assert house.back_up().status == "done"
    for name in house.stores:
        assert differences(house.source, house.restore(f"out-{name}")) == []
