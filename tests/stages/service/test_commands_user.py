"""Commands run as the user and with the environment that the configuration names."""

import os
import tracemalloc

import pytest

from stages.facts import CommandLog
from stages.service.shell import Shell
from tests.helpers.house import House
from tests.helpers.trees import fill

STRANGER = 4242


def house_with(tmp_path, **command):
    house = House(tmp_path, settings={"pre_backup": command})
    fill(house.source, {"a": b"1"})
    return house


@pytest.fixture
def strangers(tmp_path):
    """Make a house whose service belongs to a user that root does not trust."""

    def make(**command):
        tmp_path.chmod(0o755)
        for folder in tmp_path.parents:
            if folder.stat().st_mode & 0o011 != 0o011:  # pytest's own folders are 0700
                folder.chmod(folder.stat().st_mode | 0o011)
        house = house_with(tmp_path, **command)
        os.chown(house.source, STRANGER, STRANGER)
        return house

    return make


@pytest.mark.root
def test_a_command_runs_as_the_user_it_names(strangers):
    house = strangers(command="id -u > dump; id -g >> dump; id -G >> dump", user=STRANGER)
    house.backed_up()
    assert (house.source / "dump").read_text().split() == ["4242"] * 3
    assert (house.source / "dump").stat().st_uid == STRANGER


@pytest.mark.root
def test_a_named_user_has_its_own_groups_and_home(strangers):
    house = strangers(command='id -un > "$OUT"; echo $HOME $USER >> "$OUT"', user="nobody",
                      environment={"OUT": "dump"})  # fmt: skip
    house.source.chmod(0o777)
    house.backed_up()
    assert (house.source / "dump").read_text() == "nobody\n/nonexistent nobody\n"


@pytest.mark.root
def test_a_symlink_planted_by_the_services_user_overwrites_nothing_of_roots(strangers, tmp_path):
    """This is the documented dump, which as root would write through the link."""
    shadow = tmp_path / "shadow"
    shadow.write_text("root:secret\n")
    shadow.chmod(0o600)
    house = strangers(command="echo '-- dump' > dump.sql", user=STRANGER)
    (house.source / "dump.sql").symlink_to(shadow)
    result = house.back_up()
    assert (result.status, result.exit) == ("failed", 4)
    assert "Permission denied" in result.error
    assert shadow.read_text() == "root:secret\n"


@pytest.mark.root
@pytest.mark.parametrize("user", ["no-such-user", "nobody:no-such-group"])
def test_an_unknown_user_fails_the_backup_before_anything_runs(tmp_path, user):
    house = house_with(tmp_path, command="touch ran", user=user)
    result = house.back_up()
    assert "there is no" in result.error
    assert not (house.source / "ran").exists()


def test_a_command_gets_its_own_environment_and_none_of_packrats_secrets(tmp_path, monkeypatch):
    for name in ("S3_SECRET", "AWS_SECRET_ACCESS_KEY", "PACKRAT_CONFIG", "BASH_ENV", "PYTHONPATH"):
        monkeypatch.setenv(name, "/dev/null")
    kept = {"LC_ALL": "C.UTF-8", "DOCKER_HOST": "unix:///x", "TZ": "UTC", "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": "/run/x"}  # fmt: skip
    for name, value in kept.items():
        monkeypatch.setenv(name, value)
    house = house_with(tmp_path, command="env > dump", environment={"PGPASSWORD": "own"})
    house.backed_up()
    lines = (house.source / "dump").read_text().splitlines()
    found = dict(line.split("=", 1) for line in lines)
    expected = {"PATH", "HOME", "USER", "SHELL", "PGPASSWORD", *kept}
    assert set(found) - {"PWD", "SHLVL", "_", "OLDPWD"} <= expected | {"LC_CTYPE"}
    assert expected <= set(found)
    assert {name: found[name] for name in kept} == kept


def test_a_command_has_the_usual_umask(tmp_path):
    """Packrat's own is 077, but a container must be able to load a dump."""
    house = house_with(tmp_path, command="umask > dump")
    done = house.cli("backup", "svc")
    assert done.returncode == 0, done.stderr
    assert (house.source / "dump").read_text() == "0022\n"


HOSTILE_SH = """#!/bin/busybox sh
case "$2" in
    'echo $$'*) head -c 26214400 /dev/zero | tr '\\0' A ;;
    *) exec busybox sh "$@" ;;
esac
"""


def test_the_output_of_a_container_without_a_newline_is_bounded_in_memory(engine, names, tmp_path):
    """Once, 25 MiB were kept whole, in quadratic time."""
    (tmp_path / "sh").write_text(HOSTILE_SH)
    (tmp_path / "sh").chmod(0o755)
    options = ("-v", f"{tmp_path}:/hostile:ro", "-e", "PATH=/hostile:/bin")
    name = engine.run(next(names), "sleep 1000 & wait", *options)
    command = Shell(command="true", container=name, host=engine.host)
    log = tmp_path / "logs" / "log"
    tracemalloc.start()
    try:
        command.run("pre_backup", str, CommandLog(str(log)))
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert "AAAA" in log.read_text(), "the hostile shell has run"
    assert peak < 10 << 20, "bytes; half of that is the Docker library"
