"""Law 7: with an empty home, the password and one destination bring every service back."""

import shutil
import subprocess
import sys

import pytest
import yaml

from tests.helpers.house import House
from tests.helpers.sampling import daily
from tests.helpers.servers import S3Server, SshServer
from tests.helpers.trees import differences, fill, noise


@pytest.mark.parametrize("which", daily(["s3", "nas"], ["nas"]))
def test_rekey_and_restore_from_one_destination_alone(tmp_path, which):
    """Key, state and home are lost. Two services are restored from S3, or from a NAS, alone."""
    s3, nas = S3Server(tmp_path / "s3"), SshServer(tmp_path / "nas")
    with s3.up(), nas.up():
        places = {"s3": s3.destination(), "nas": nas.destination("packrat")}
        house = House(tmp_path / "old", backup={"destinations": {which: places[which]}})
        document = yaml.safe_load(house.config_file.read_text())
        other = tmp_path / "other"
        document["services"]["wiki"] = {"path": str(other)}
        house.config_file.write_text(yaml.safe_dump(document))
        fill(other, {"page": noise(5000, 3)})
        fill(house.source, {"a": noise(400_000), "b/c": b"text " * 900})
        assert house.cli("backup", "--all").returncode == 0
        fill(house.source, {"b/d": noise(3000, 4)})
        assert house.cli("backup", "--all").returncode == 0

        bare, home = tmp_path / "new", tmp_path / "home"
        home.mkdir()
        bare.mkdir()
        document |= {"state_dir": str(bare / "state")}
        document["encryption"] = {"key_file": str(bare / "key")}
        (bare / "packrat.yaml").write_text(yaml.safe_dump(document))
        kept = {"svc": house.source.rename(tmp_path / "kept"), "wiki": other.rename(tmp_path / "w")}
        password = house.password_file()

        def packrat(*words):
            command = [sys.executable, "-m", "packrat", "-c", str(bare / "packrat.yaml"), *words]
            done = subprocess.run(
                command, capture_output=True, text=True, check=False, env={"HOME": str(home)}
            )
            assert done.returncode == 0, done.stderr

        packrat("rekey", "--password-file", password)
        shutil.rmtree(house.root)
        for service, original in kept.items():
            packrat("restore", service, "--to", str(bare / service), "--yes")
            assert differences(original, bare / service) == []
