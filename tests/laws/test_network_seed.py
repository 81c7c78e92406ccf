"""Section `backup:` of the user's own example, on real servers; only addresses and keys differ.

The NAS is a login folder, then a chroot with only SFTP; its host key is where ssh stores it, in
~/.ssh/known_hosts.
"""

import shutil
import tempfile
from pathlib import Path

import pytest
import yaml

from tests.helpers.house import House
from tests.helpers.network import done
from tests.helpers.servers import KEY, SECRET, SshServer
from tests.helpers.trees import differences, digest, fill, noise

pytestmark = [pytest.mark.root, pytest.mark.usefixtures("impatient")]
SEED = Path(__file__).parents[2] / "examples" / "seed.yaml"


@pytest.fixture(params=["a login folder", "a chroot"])
def server(request, monkeypatch):
    """Return a NAS whose host key ssh knows, and the folder of its logins."""
    # OpenSSH requires every folder above a jail to belong to root alone; /tmp does not.
    root = Path(tempfile.mkdtemp(dir="/run"))
    root.chmod(0o755)
    chroot = request.param == "a chroot"
    server = SshServer(root / "nas", chroot=chroot)
    home = root / "home"
    fill(home, {".ssh/known_hosts": server.known_hosts.read_bytes()})
    monkeypatch.setenv("HOME", str(home))
    with server.up():
        yield server, server.jail / "share" if chroot else server.folder / "login"
    shutil.rmtree(root)


def seeds_backup(server, s3):
    """Return the section of the example, with local addresses and keys."""
    section = yaml.safe_load(SEED.read_text())["backup"]
    section["synology"] |= {"host": "127.0.0.1", "port": server.port, "username": "root"}
    section["synology"] |= {"key_file": str(server.folder / "user")}
    section["s3"] |= {"endpoint": f"http://127.0.0.1:{s3.port}", "bucket": "bucket"}
    section["s3"] |= {"access_key_id": KEY, "secret_access_key": SECRET}
    return section


def test_the_seeds_backup_section(tmp_path, s3, server):
    """Both at once, the same bytes by SHA-256 at the configured paths, and each alone restores."""
    nas, login = server
    house = House(tmp_path / "house", backup=seeds_backup(nas, s3))
    fill(house.source, {"a": noise(300_000), "b/c": noise(1_500_000, 3)})
    assert done(house.back_up())
    fill(house.source, {"b/new": noise(40_000, 4)})
    assert done(house.back_up())
    bucket = s3.folder / "bucket" / "backups" / "packrat" / "svc"
    there = [
        {file.name: digest(file) for file in folder.iterdir()}
        for folder in (login / "backups" / "test" / "svc", bucket)
    ]
    assert there[0] == there[1]
    assert len(there[0]) == 2
    for name in ("synology", "s3"):
        house.forget()
        out = tmp_path / "restored" / name
        restored = house.cli("restore", "svc", "--from", name, "--to", str(out), "--yes")
        assert restored.returncode == 0, restored.stderr
        assert differences(house.source, out) == []


def test_a_host_key_that_is_not_the_known_one(tmp_path, s3, server):
    """Nothing is sent to it; the message says what has changed, and how to accept it."""
    nas, login = server
    known = Path.home() / ".ssh" / "known_hosts"
    other = (nas.folder / "user.pub").read_text().split()
    known.write_text(f"{known.read_text().split()[0]} {other[0]} {other[1]}\n")
    house = House(tmp_path / "house", backup=seeds_backup(nas, s3))
    fill(house.source, {"a": noise(300_000)})
    result = house.back_up()
    assert (result.status, result.exit) == ("partial", 5), result
    assert result.destinations["s3"]["status"] == "done"
    assert "destination synology" in result.error
    assert f"the host key of [127.0.0.1]:{nas.port} has changed" in result.error
    assert f"ssh-keygen -R '[127.0.0.1]:{nas.port}'" in result.error
    assert list(login.rglob("*.packrat*")) == []
