"""Example package with a stage, installed into a fresh environment and used there."""

import json
import os
import subprocess
import sys
import sysconfig
import venv
from pathlib import Path

import pytest
import yaml

from tests.helpers.house import House
from tests.helpers.trees import differences, fill

ROOT = Path(__file__).parents[1]
PLUGIN = ROOT / "examples" / "plugin"
STAGE = {"kind": "tripwire", "after": "gather", "names": ["*.locked"], "allow": 1}


@pytest.fixture(scope="module")
def environment(tmp_path_factory):
    """Virtual environment with this packrat, the packages it needs, and the example."""
    folder = tmp_path_factory.mktemp("fresh") / "venv"
    venv.create(folder, with_pip=False, symlinks=True)
    python = folder / "bin" / "python"
    # Packages installed here are visible there, so nothing is downloaded.
    [site] = folder.glob("lib/python*/site-packages")
    seen = sysconfig.get_path("purelib")
    (site / "of_the_tests.pth").write_text(f"import site; site.addsitedir({seen!r})\n{ROOT}\n")
    pip = [sys.executable, "-m", "pip", "--python", str(python), "--disable-pip-version-check"]
    words = ["install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index", str(PLUGIN)]
    done = subprocess.run([*pip, *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return python


@pytest.fixture
def packrat(environment, tmp_path):
    """Return a function that runs packrat from that environment."""
    house = House(tmp_path, settings={"stages": [STAGE]})

    def packrat(*words, status=0, stdout=True):
        command = [environment, "-m", "packrat", "-c", house.config_file, *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
        assert done.returncode == status, done.stdout + done.stderr
        return done.stdout if stdout else done.stderr

    packrat.house = house
    return packrat


@pytest.mark.thorough
def test_plugin_is_planned_run_and_reversed_by_a_restore(packrat, tmp_path):
    """From `plan` to a restore whose stage warns, since the backup matches a stricter setting."""
    house = packrat.house
    fill(house.source, {"a": b"x", "b/big": b"y" * 3_000_000, "b/c.locked": b"z"})
    packrat("check")
    assert "refuse more than 1 files with *.locked" in packrat("plan")
    assert "tripwire" in packrat("schema")
    assert json.loads(packrat("backup", "svc", "--json"))[0]["status"] == "done"
    plan = packrat("plan", "--restore", "--to", str(tmp_path / "out"))
    assert plan.index("prove") < plan.index("recheck") < plan.index("write")
    packrat("restore", "svc", "--yes", "--to", str(tmp_path / "out"))
    assert differences(house.source, tmp_path / "out") == []

    document = yaml.safe_load(house.config_file.read_text())
    document["services"]["svc"]["stages"][0]["allow"] = 0
    house.config_file.write_text(yaml.safe_dump(document))
    said = packrat(
        "restore", "svc", "--yes", "--to", str(tmp_path / "again"), status=5, stdout=False
    )
    assert "1 files match: b/c.locked" in said
    assert differences(house.source, tmp_path / "again") == []
    said = packrat("backup", "svc", status=4, stdout=False)
    assert "1 files match: b/c.locked" in said
    assert len(house.archives) == 1


@pytest.mark.thorough
def test_configuration_without_the_package_says_what_to_do(packrat):
    """It is not installed here."""
    done = packrat.house.cli("check")
    assert done.returncode == 3
    assert "there is no stage kind 'tripwire'; install the package that has it" in done.stderr


@pytest.mark.thorough
def test_contract_test_of_the_example_passes(environment, tmp_path):
    """It runs in its own environment, as its author would run it."""
    words = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, f"--rootdir={tmp_path}"]
    done = subprocess.run(
        [environment, "-m", "pytest", *words, PLUGIN / "tests"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stdout
    assert "passed" in done.stdout
