"""Environment that packrat inherits from its caller: folder, streams, umask, locale."""

import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.helpers.daemons import Running, schedule
from tests.helpers.house import House
from tests.helpers.needs import need, need_mounts
from tests.helpers.trees import fill

PROGRAM = str(Path(sys.executable).with_name("packrat"))
PLANTED = "open({mark!r}, 'a').write('ran')\nraise SystemExit(9)\n"


@pytest.fixture
def trap(house, tmp_path):
    """A writable folder with planted modules that packrat's children would import."""
    fill(house.source, {"a": b"1"})
    folder = tmp_path / "trap"
    folder.mkdir()
    mark = tmp_path / "ignored-mark"
    for module in ("yaml", "msgspec", "json", "packrat"):
        (folder / f"{module}.py").write_text(PLANTED.format(mark=str(mark)))
    return folder, mark


@pytest.mark.thorough
def test_a_module_in_the_working_folder_is_not_run_by_the_sender_of_messages(house, trap):
    folder, mark = trap
    text = house.config_file.read_text()
    house.config_file.write_text(text + "notify: {urls: ['nonsense://x'], on: [success]}\n")
    words = [PROGRAM, "-c", str(house.config_file), "backup", "svc"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "notification service nonsense: " in done.stderr, "the child ran"
    assert not mark.exists()


@pytest.mark.thorough
def test_a_module_in_the_working_folder_is_not_run_by_the_daemons_jobs(house, trap, monkeypatch):
    folder, mark = trap
    schedule(house)
    monkeypatch.chdir(folder)
    with Running(house, program=(PROGRAM,)) as daemon:
        daemon.until(lambda: [r["status"] for r in daemon.runs()] == ["done"])
    assert not mark.exists()


def test_a_module_in_the_working_folder_is_not_run_by_python_m(house, trap):
    folder, mark = trap
    (folder / "packrat.py").unlink()  # what Python itself needs for -m is only safe with -P
    for module in ("signal", "typing", "argparse"):
        (folder / f"{module}.py").write_text((folder / "json.py").read_text())
    words = [sys.executable, "-m", "packrat", "-c", str(house.config_file), "backup", "svc"]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert not mark.exists()


@pytest.mark.parametrize("closed", ["<&-", ">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_standard_stream_is_dev_null(house, closed):
    fill(house.source, {"a": b"1"})
    line = f'"{PROGRAM}" -c "{house.config_file}" backup svc {closed}'
    assert subprocess.run(["bash", "-c", line], check=False).returncode == 0
    assert (house.restore() / "a").read_bytes() == b"1"


def test_what_packrat_writes_is_its_users_only_whatever_the_umask(house):
    fill(house.source, {"a": b"1"})
    old = os.umask(0)
    try:
        done = house.cli("backup", "svc", wrap=())
    finally:
        os.umask(old)
    assert done.returncode == 0, done.stderr
    own = [path for top in (house.state, house.store.parent) for path in [top, *top.rglob("*")]]
    assert any(path.name == "history.sqlite" for path in own)
    open_to_others = [path for path in own if stat.S_IMODE(path.stat().st_mode) & 0o077]
    assert open_to_others == []


@pytest.mark.root
def test_without_proc_packrat_refuses_to_run(house):
    """Every symlink and fifo was once left out silently."""
    fill(house.source, {"a": b"1"})
    need_mounts()
    config = str(house.config_file)
    script = f'umount -l /proc && exec "{PROGRAM}" -c "{config}" backup svc'
    words = ["unshare", "-m", "--propagation", "private", "bash", "-c", script]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 4
    assert "/proc is not mounted; mount it" in done.stderr
    assert house.archives == []


def test_names_are_bytes_under_a_latin_1_locale(tmp_path):
    localedef = need("localedef", "apt install locales")
    if not Path("/usr/share/i18n/charmaps").is_dir():
        need("no-charmaps", "apt install locales")
    words = [localedef, "-i", "en_US", "-f", "ISO-8859-1", str(tmp_path / "en_US")]
    subprocess.run(words, check=False, capture_output=True)
    house = House(tmp_path / "house")
    names = {"ü.txt".encode(), b"\xff"}
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(house.source), name))).write_bytes(b"x")
    words = [PROGRAM, "-c", str(house.config_file), "backup", "svc"]
    env = {**os.environ, "LOCPATH": str(tmp_path), "LC_ALL": "en_US"}
    env.pop("PYTHONUTF8", None)
    done = subprocess.run(words, env=env, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    assert set(os.listdir(os.fsencode(house.restore()))) == names


def test_folders_on_the_way_to_a_restore_can_be_entered_by_its_user(house):
    """Packrat's umask is for its own files."""
    fill(house.source, {"a": b"1"})
    house.source.chmod(0o750)
    house.backed_up()
    done = house.cli("restore", "svc", "--to", str(house.root / "new" / "deep" / "out"), "--yes")
    assert done.returncode == 0, done.stderr
    modes = [stat.S_IMODE((house.root / at).stat().st_mode) for at in ("new", "new/deep")]
    assert modes == [0o755, 0o755]
    assert stat.S_IMODE((house.root / "new/deep/out").stat().st_mode) == 0o750
