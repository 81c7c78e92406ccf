"""Notes of check about valid settings that expose something to other users."""

import os
from pathlib import Path

import pytest
import yaml

from tests.helpers.house import House

STRANGER = 4242
SECRETS = """\
services:
  svc:
    path: {root}/source
    pre_backup:
      command: "true"
      environment:
        PGPASSWORD: literal-1
        OTHER: {{env: HOME}}
backup:
  local: {{path: {root}/store}}
encryption: {{key_file: {root}/key}}
state_dir: {root}/state
notify: {{urls: ["json://literal-2/"]}}
"""


@pytest.fixture
def shared(tmp_path):
    """A folder that every user can enter; pytest's own are 0700."""
    for folder in (tmp_path, *tmp_path.parents):
        if folder.stat().st_mode & 0o011 != 0o011:
            folder.chmod(folder.stat().st_mode | 0o011)
    return tmp_path


def test_a_literal_secret_in_a_world_readable_file_causes_a_warning_with_its_line(shared):
    house = House(shared)
    house.config_file.write_text(SECRETS.format(root=shared))
    house.config_file.chmod(0o644)
    said = house.cli("check").stdout
    at = f"{house.config_file}:%s: services.svc.pre_backup.environment.PGPASSWORD: a literal secret"
    assert at % "7:21" in said
    assert f"{house.config_file}:13:17: notify.urls[0]: a literal secret" in said
    assert said.count("a literal secret") == 2, "a reference is none"
    assert "chmod 600" in said
    assert "literal-" not in said
    house.config_file.chmod(0o640)
    assert "a literal secret" not in house.cli("check").stdout
    house.config_file.chmod(0o644)
    shared.chmod(0o700)
    assert "a literal secret" not in house.cli("check").stdout, "no other user can reach it"


def house_with(root, **command):
    house = House(root)
    document = yaml.safe_load(house.config_file.read_text())
    document["services"]["svc"]["pre_backup"] = {"command": "echo > dump.sql"} | command
    house.config_file.write_text(yaml.safe_dump(document))
    os.chown(house.source, STRANGER, STRANGER)
    return house


@pytest.mark.root
def test_a_command_of_root_in_a_folder_of_another_user_gets_a_hint(tmp_path):
    said = house_with(tmp_path).cli("check").stdout
    assert f"services.svc.pre_backup: root runs it in {tmp_path}/source" in said
    assert "uid 4242 can write" in said
    assert "set user: 4242" in said


@pytest.mark.root
@pytest.mark.parametrize(
    "command", [{"user": STRANGER}, {"working_dir": "/root"}, {"container": "c"}], ids=str
)
def test_a_command_that_is_safe_gets_no_hint(tmp_path, command):
    assert "root runs it" not in house_with(tmp_path, **command).cli("check").stdout


@pytest.mark.root
def test_a_folder_that_everybody_can_write_gets_a_hint_for_another_folder(tmp_path):
    house = house_with(tmp_path)
    os.chown(house.source, 0, 0)
    house.source.chmod(0o777)
    said = house.cli("check").stdout
    assert "other users can write" in said
    assert "set working_dir: a folder that only root can write" in said


@pytest.mark.parametrize("user", ["post gres", "", True, "-1", "a:b:c", [1]])
def test_a_user_that_is_none_is_a_fault_with_its_line(tmp_path, user):
    house = House(tmp_path)
    document = yaml.safe_load(house.config_file.read_text())
    document["services"]["svc"]["pre_backup"] = {"command": "true", "user": user}
    house.config_file.write_text(yaml.safe_dump(document))
    done = house.cli("check")
    assert done.returncode == 3
    assert "services.svc.pre_backup.user: " in done.stderr


@pytest.mark.root
@pytest.mark.parametrize("command", ["check", "list", "backup svc", "run", "rekey", "status"])
def test_every_command_refuses_a_configuration_of_another_user(tmp_path, command):
    """Its commands would run as root."""
    house = House(tmp_path)
    mark = tmp_path / "ran"
    document = yaml.safe_load(house.config_file.read_text())
    document["services"]["svc"]["pre_backup"] = {"command": f"touch {mark}"}
    house.config_file.write_text(yaml.safe_dump(document))
    os.chown(house.config_file, STRANGER, STRANGER)
    words = ["run", str(house.config_file)] if command == "run" else command.split()
    done = house.cli(*words)
    assert done.returncode == 3, done.stderr
    assert f"{house.config_file}: belongs to uid 4242" in done.stderr
    assert "chown root" in done.stderr
    assert not Path(mark).exists()


@pytest.mark.root
@pytest.mark.parametrize(
    ("schedule", "how"),
    [("0 2 1 * mon", "one"), ("0 2 */2 * 1", "both"), ("0 2 * * 1", ""), ("@weekly", "")],
)
def test_a_schedule_with_day_and_weekday_is_explained(tmp_path, schedule, how):
    house = House(tmp_path, settings={"schedule": schedule})
    notes = house.json("check")["notes"]
    assert [f"days that match {how} of" in note for note in notes] == [True] * bool(how)


@pytest.mark.root
def test_a_planted_journal_is_not_run(tmp_path):
    """Root would execute the commands that the journal says are still to be run."""
    house = House(tmp_path)
    mark = tmp_path / "ran"
    journal = house.state / "journal"
    journal.mkdir(parents=True)
    (journal / "svc.json").write_text(
        '{"pre_backup": {"kind": "commands", "params": {"then": {"command": "touch '
        f'{mark}"}}}}, "found": {{}}}}}}'
    )
    for path in (journal / "svc.json", journal, house.state):
        os.chown(path, STRANGER, STRANGER)
    done = house.cli("backup", "svc")
    assert done.returncode == 3, done.stderr
    assert not mark.exists()
    pipeline = tmp_path / "pipeline.yaml"
    house.state.rename(tmp_path / "away")
    pipeline.write_text(house.cli("plan", "--format", "yaml").stdout)
    (tmp_path / "away").rename(house.state)
    done = house.cli("run", str(pipeline))
    assert done.returncode == 3, done.stderr
    assert not mark.exists()
