"""`type: fsspec`: a WebDAV server is a destination like any other."""

import pytest
import yaml

from tests.helpers.network import done, house_with, level
from tests.helpers.servers import WebDavServer
from tests.helpers.trees import differences, fill, noise

pytestmark = pytest.mark.usefixtures("impatient")


@pytest.fixture
def webdav(tmp_path):
    server = WebDavServer(tmp_path / "webdav")
    with server.up():
        yield server


def destination(server, secret):
    """Return the settings, with the password by reference."""
    return {
        "type": "fsspec",
        "url": "webdav://backups/packrat",
        "options": {
            "base_url": f"http://127.0.0.1:{server.port}",
            "auth": [server.USER, secret],
        },
    }


@pytest.fixture
def house(tmp_path, webdav):
    (tmp_path / "secret").write_text(webdav.PASSWORD + "\n")
    secret = {"file": str(tmp_path / "secret")}
    return house_with(tmp_path, {"dav": destination(webdav, secret)}, keep=2)


def test_backups_go_to_a_webdav_server_and_come_back(house, webdav):
    """Incrementals, pruning, a restore from there alone, and a deep verification."""
    for number in range(3):
        fill(house.source, {"b/new": noise(400_000, number)})
        assert done(house.back_up(full=number == 2))
    assert level(house, "local", "dav")
    stored = webdav.folder / "backups" / "packrat" / "svc"
    assert {p.name for p in stored.iterdir()} == {p.name for p in house.archives}
    house.forget()
    out = house.root / "out"
    restored = house.cli("restore", "svc", "--from", "dav", "--to", str(out), "--yes")
    assert restored.returncode == 0, restored.stderr
    assert differences(house.source, out) == []
    assert house.cli("verify", "--deep").returncode == 0


def test_check_connect_says_what_webdav_cannot_do(house):
    """It works and reports the costs; JSON has the sentences, too."""
    said = house.cli("check", "--connect")
    assert said.returncode == 0, said.stderr
    assert "dav: works" in said.stdout
    assert "dav: note: it has no rename in one step" in said.stdout
    found = house.json("check", "--connect")["destinations"]
    [dav, local] = sorted(found, key=lambda one: one["destination"])
    assert (local["limits"], len(dav["limits"])) == ([], 2)


def test_a_plan_shows_no_secret_and_runs(house, webdav):
    """The document refers to the password, and the run resolves it."""
    plan = house.cli("plan", "svc", "--format", "yaml")
    assert plan.returncode == 0, plan.stderr
    assert webdav.PASSWORD not in plan.stdout
    assert yaml.safe_load(plan.stdout)["destinations"]["dav"]["options"]["auth"][0] == "packrat"
    (house.root / "plan.yaml").write_text(plan.stdout)
    run = house.cli("run", str(house.root / "plan.yaml"))
    assert run.returncode == 0, run.stderr
    assert level(house, "local", "dav")


def test_a_wrong_password_is_that_destinations_fault(tmp_path, house):
    """The other destinations finish; the message names it."""
    (tmp_path / "secret").write_text("wrong one\n")
    result = house.back_up()
    assert (result.status, result.exit) == ("partial", 5), result
    assert "destination dav" in result.error
    assert "401" in result.error


def test_a_library_that_is_missing_is_named(tmp_path):
    """Google's is not a dependency of Packrat."""
    house = house_with(tmp_path, {"far": {"type": "fsspec", "url": "gs://bucket/x"}})
    said = house.cli("check", "--connect")
    assert said.returncode == 4
    assert "gcsfs" in said.stdout
    assert "install it beside packrat" in said.stdout
