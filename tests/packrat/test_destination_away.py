"""Commands while a NAS is away: they wait for it once, and only if there is something to do."""

import shutil

import pytest
import yaml

from tests.helpers.house import House
from tests.helpers.servers import free_port
from tests.helpers.trees import fill


@pytest.fixture
def away(tmp_path):
    """A house with three services, a local destination, and a NAS that does not answer."""
    house = House(tmp_path)
    document = yaml.safe_load(house.config_file.read_text())
    nas = {"type": "sftp", "host": "127.0.0.1", "port": free_port(), "username": "u"}
    document["backup"]["destinations"]["nas"] = nas | {"password": "x", "path": "p"}
    (tmp_path / "file").touch()
    usb = {"type": "local", "path": str(tmp_path / "file" / "usb")}
    document["backup"]["destinations"]["usb"] = usb
    document["services"] |= {n: {"path": str(house.source)} for n in ("two", "three")}
    house.config_file.write_text(yaml.safe_dump(document))
    fill(house.source, {"a": b"1"})
    return house


def test_a_backup_of_a_missing_path_does_not_wait_for_the_destinations(away):
    """The NAS would be tried for seconds; the plan shows the same order."""
    shutil.rmtree(away.source)
    done = away.cli("backup", "svc")
    assert done.returncode == 4
    assert f"{away.source} does not exist" in done.stderr + done.stdout
    assert "nas" not in done.stderr + done.stdout
    [run] = away.json("history", "svc")
    assert "survey" not in run["stages"]
    plan = away.cli("plan", "svc").stdout
    assert plan.index("preflight") < plan.index("survey")


def test_list_names_an_absent_destination_once(away):
    """Not once for each service, whether another attempt may help or not."""
    done = away.cli("list")
    assert done.returncode == 5
    for name in ("destination nas", "destination usb"):
        assert done.stderr.count(name) == 1, done.stderr
