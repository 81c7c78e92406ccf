"""Commands around a backup: they must succeed, end in time, and keep their secrets."""

import os
import time
from pathlib import Path

import pytest

from packrat.runs.backup import back_up
from packrat.runs.repair import repair
from tests.helpers.house import House
from tests.helpers.trees import fill, noise


def house_with(tmp_path, pre=None, post=None, **more):
    commands = {"pre_backup": pre, "post_backup": post}
    settings = {name: command for name, command in commands.items() if command} | more
    house = House(tmp_path, settings=settings)
    fill(house.source, {"a": b"1"})
    return house


def failed(house):
    """Back up, which must fail at a command and store nothing; return the error."""
    result = house.back_up()
    assert (result.status, result.exit) == ("failed", 4), result
    assert house.archives == []
    return result.error


def test_it_runs_in_the_services_path_before_anything_is_read(tmp_path):
    """Its output is in the backup; its folder, environment and shell are as documented."""
    script = 'echo "$GREETING from $PWD" > dump; [[ $BASH_VERSION ]]'
    house = house_with(tmp_path, {"command": script, "environment": {"GREETING": "hello"}})
    house.backed_up()
    assert (house.restore() / "dump").read_text() == f"hello from {house.source}\n"


@pytest.mark.parametrize(
    ("command", "says"),
    [
        ("exit 3", "pre_backup failed with status 3"),
        ("false | true", "pre_backup failed with status 1"),
        ("echo 'no such role' >&2; exit 2", "status 2; it said: no such role"),
        ("false\ntrue", "pre_backup failed with status 1"),
        ("kill -9 $$", "pre_backup failed with status 137"),
    ],
)
def test_a_command_that_fails_fails_the_backup(tmp_path, command, says):
    """This covers any member of a pipe and any line: the error has its status and last output."""
    assert says in failed(house_with(tmp_path, {"command": command}))


def test_a_missing_working_dir_is_reported_before_anything_runs(tmp_path):
    """The error names the folder and the key."""
    house = house_with(tmp_path, {"command": "true", "working_dir": "nowhere"})
    error = failed(house)
    assert f"{house.source}/nowhere is not a folder" in error
    assert "pre_backup.working_dir" in error


def test_at_the_timeout_the_whole_group_ends(tmp_path):
    """This includes grandchildren and those that ignore TERM; the error says what was too slow."""
    mark = tmp_path / "pids"
    script = f"(trap '' TERM; sleep 300; sleep 300) & echo $! > {mark}; echo working; wait"
    begun = time.monotonic()
    error = failed(house_with(tmp_path, {"command": script, "timeout": 1}))
    assert "pre_backup took longer than 1 s and was ended; it said: working" in error
    assert time.monotonic() - begun < 100
    for pid in mark.read_text().split():
        status = Path(f"/proc/{pid}/status")
        assert not status.exists() or "State:\tZ" in status.read_text()


def test_a_hundred_megabytes_of_output(tmp_path):
    """Memory and log stay small, and the last lines are the last ones."""
    house = house_with(tmp_path, {"command": "seq 13000000; echo the end; exit 1"})
    assert "it said: 12999997 | 12999998 | 12999999 | 13000000 | the end; " in failed(house)
    log = house.state / "logs" / "svc.log"
    assert log.stat().st_size < 17 << 20
    end = log.read_text()[-200:]
    assert "--- more was printed\n--- " in end
    assert end.endswith("pre_backup ended with status 1\n")


def test_a_secret_that_is_echoed_is_masked(tmp_path):
    """Neither the error nor the log shows it."""
    command = {
        "command": "echo password is $PGPASSWORD; head -c 9000 /dev/zero | tr '\\0' x;"
        " echo $PGPASSWORD; exit 1",
        "environment": {"PGPASSWORD": "s3cret-s3cret"},
    }
    house = house_with(tmp_path, command)
    error = failed(house)
    assert "s3cret" not in error
    assert "***" in error
    assert "s3cret" not in (house.state / "logs" / "svc.log").read_text()


@pytest.mark.parametrize("first", ["true", "exit 1"])
def test_post_backup_runs_once_pre_backup_has_begun(tmp_path, first):
    """Maintenance mode does not stay on, even if the first command failed."""
    house = house_with(tmp_path, {"command": first}, {"command": "echo off >> ../mode"})
    house.back_up()
    assert (tmp_path / "mode").read_text() == "off\n"


def test_post_backup_does_not_run_when_pre_backup_never_began(tmp_path):
    """A missing source is detected before maintenance mode is switched on."""
    commands = {"command": "echo on >> ../mode"}, {"command": f"echo off >> {tmp_path}/mode"}
    house = house_with(tmp_path, *commands)
    house.source.rename(tmp_path / "elsewhere")
    assert "does not exist" in failed(house)
    assert not (tmp_path / "mode").exists()


def test_a_failed_post_backup_is_reported_although_the_backup_is_stored(tmp_path):
    """Exit 4, and the message says that the backup is stored."""
    house = house_with(tmp_path, {"command": "true"}, {"command": "exit 9"})
    result = house.back_up()
    assert (result.status, result.exit) == ("failed", 4)
    assert "post_backup failed with status 9" in result.error
    assert f"The backup {result.id} is stored all the same" in result.error
    assert len(house.archives) == 1


def test_a_run_that_dies_between_the_two_owes_the_second(tmp_path):
    """SIGKILL during the backup: the next command runs post_backup once, and reports it."""
    mode = tmp_path / "mode"
    house = house_with(
        tmp_path,
        {"command": f"echo on >> {mode}; kill -9 $PPID"},
        {"command": f"echo off >> {mode}"},
    )
    assert house.cli("backup", "svc", wrap=()).returncode == -9
    assert mode.read_text() == "on\n"
    listed = house.cli("list")
    assert "post_backup has run" in listed.stderr
    log = (house.state / "logs" / "svc.log").read_text()
    assert "post_backup, repair after a killed run\n" in log
    assert mode.read_text() == "on\noff\n"
    assert repair(str(house.state)) == []


def test_an_empty_or_shrunken_dump_is_warned_of(tmp_path):
    """A dump that exists but has no content must be reported."""
    house = house_with(tmp_path, {"command": "cp ../dump dump.sql"})
    fill(house.source, {"more": noise(100_000)})
    dump = tmp_path / "dump"
    dump.write_bytes(b"-- rows\n" * 2000)
    assert house.back_up().warnings == []
    dump.write_bytes(b"-- rows\n" * 200)
    [warning] = house.back_up().warnings
    assert "'dump.sql' has 1,600 bytes, in the last backup it had 16,000" in warning
    dump.write_bytes(b"")
    assert "'dump.sql' is empty" in " ".join(house.back_up().warnings)


@pytest.mark.parametrize(
    ("file", "content", "what"),
    [
        ("data/postmaster.pid", b"1", "PostgreSQL"),
        ("ibdata1", b"1", "MySQL"),
        ("app.db-wal", b"1", "SQLite"),
        ("mongod.lock", b"1", "MongoDB"),
        ("appendonly.aof", b"1", "Redis"),
    ],
)
def test_a_live_database_is_warned_of(tmp_path, file, content, what):
    """Without stop or dump its files may be inconsistent; with a dump there is no warning."""
    house = house_with(tmp_path)
    fill(house.source, {file: content})
    for _ in range(2):  # also if the file has not changed since the last backup
        [warning] = house.back_up().warnings
        assert f"belongs to a {what} database" in warning
    (tmp_path / "dumped").mkdir()
    guarded = house_with(tmp_path / "dumped", {"command": "true"})
    fill(guarded.source, {file: content})
    assert guarded.back_up().warnings == []


def test_ctrl_c_ends_a_command(tmp_path):
    """The run ends at once, nothing is stored, and the command is gone."""
    house = house_with(tmp_path, {"command": f"echo $$ > {tmp_path}/pid; sleep 300"})
    begun = time.monotonic()

    from engine.events import Started

    def listen(event):
        if isinstance(event, Started) and event.stage == "pre_backup":
            import signal
            import threading

            threading.Timer(0.5, os.kill, (os.getpid(), signal.SIGINT)).start()

    result = back_up(house.pipeline(), [listen])
    assert result.exit == 130
    assert time.monotonic() - begun < 60
    pid = (tmp_path / "pid").read_text().strip()
    assert not Path(f"/proc/{pid}").exists()
