"""Ownership checks of the files that Packrat trusts."""

import os
import subprocess

import pytest

from specs.faults import ConfigFaults
from specs.load import find_config, load_config
from specs.trust import TRUST_UID, distrust, trusted_uids
from tests.helpers.needs import need

STRANGER = 4242
pytestmark = pytest.mark.root


@pytest.fixture(autouse=True)
def nobody_else(monkeypatch):
    """Remove variables that name trusted users from the environment."""
    monkeypatch.delenv(TRUST_UID, raising=False)
    monkeypatch.delenv("SUDO_UID", raising=False)


@pytest.fixture
def configuration(tmp_path):
    """A configuration, a key and a state folder that pass the checks."""
    (tmp_path / "state").mkdir(mode=0o700)
    (tmp_path / "spool").mkdir(mode=0o700)
    (tmp_path / "key").touch(0o600)
    file = tmp_path / "packrat.yaml"
    file.write_text(
        "encryption: {key_file: key}\nstate_dir: state\nspool: {path: spool}\n"
        "services: {a: {path: /srv/a}}\nbackup: {local: {path: /mnt}}\n"
    )
    file.chmod(0o644)
    assert load_config(str(file))
    return file


@pytest.mark.parametrize("name", ["packrat.yaml", "key", "state", "spool", "."])
def test_a_file_of_another_user_is_refused(configuration, monkeypatch, name):
    path = (configuration.parent / name).resolve()
    os.chown(path, STRANGER, STRANGER)
    with pytest.raises(ConfigFaults) as caught:
        load_config(str(configuration))
    assert str(path) in str(caught.value)
    assert "belongs to uid 4242" in str(caught.value)
    assert f"{TRUST_UID}=4242" in str(caught.value), "the hint shows the remedy"

    monkeypatch.setenv(TRUST_UID, str(STRANGER))
    assert load_config(str(configuration))


@pytest.mark.parametrize("name", ["packrat.yaml", "key", "state", "spool", "."])
def test_a_file_that_others_can_write_is_refused_whoever_owns_it(configuration, monkeypatch, name):
    monkeypatch.setenv(TRUST_UID, str(STRANGER))
    path = (configuration.parent / name).resolve()
    path.chmod(path.stat().st_mode | 0o002)
    with pytest.raises(ConfigFaults, match="can be written by other users") as caught:
        load_config(str(configuration))
    assert f"chmod go-w {path}" in str(caught.value)


def test_an_entry_of_the_state_folder_that_belongs_to_another_user_is_refused(configuration):
    """Otherwise Packrat would execute a planted journal."""
    journal = configuration.parent / "state" / "journal"
    journal.mkdir()
    os.chown(journal, STRANGER, STRANGER)
    with pytest.raises(ConfigFaults, match="journal: belongs to uid 4242"):
        load_config(str(configuration))


def test_the_user_behind_sudo_is_trusted(configuration, monkeypatch):
    os.chown(configuration, STRANGER, STRANGER)
    monkeypatch.setenv("SUDO_UID", str(STRANGER))
    assert load_config(str(configuration))
    monkeypatch.setenv("SUDO_UID", str(STRANGER + 1))
    with pytest.raises(ConfigFaults):
        load_config(str(configuration))


def test_only_root_trusts_the_variable_of_sudo(monkeypatch):
    """A user's own environment must not add trusted users."""
    monkeypatch.setenv("SUDO_UID", str(STRANGER))
    os.seteuid(4343)
    try:
        assert trusted_uids() == {0, 4343}
    finally:
        os.seteuid(0)
    assert trusted_uids() == {0, STRANGER}


def test_a_uid_that_is_not_a_number_is_a_fault(configuration, monkeypatch):
    monkeypatch.setenv(TRUST_UID, "me")
    with pytest.raises(ConfigFaults, match="is not a uid"):
        load_config(str(configuration))


def test_a_link_on_the_way_that_belongs_to_another_user_is_refused(configuration, tmp_path):
    link = tmp_path / "link"
    link.symlink_to(configuration.parent)
    assert distrust(str(link / "packrat.yaml")) is None
    os.chown(link, STRANGER, STRANGER, follow_symlinks=False)
    found = distrust(str(link / "packrat.yaml"))
    assert found
    assert (found.path, found.uid) == (str(link), STRANGER)


def test_a_folder_on_the_way_that_others_can_write_is_refused_unless_it_is_sticky(tmp_path):
    shared = tmp_path / "shared"
    own = shared / "own"
    own.mkdir(parents=True)
    shared.chmod(0o777)
    assert distrust(str(own / "packrat.yaml"))
    shared.chmod(0o1777)
    assert distrust(str(own / "packrat.yaml")) is None
    assert distrust(str(shared)), "the sticky folder itself is not trusted"


def test_a_private_group_may_write_unless_there_is_an_acl(configuration):
    """Ubuntu and Fedora create files with mode 0664 and a group of the user's own."""
    configuration.chmod(0o664)
    os.chown(configuration, 0, 0)
    assert load_config(str(configuration))
    subprocess.run([need("setfacl"), "-m", f"u:{STRANGER}:rw", configuration], check=True)
    with pytest.raises(ConfigFaults, match="can be written by other users"):
        load_config(str(configuration))


def test_a_group_with_other_members_may_not_write(configuration):
    os.chown(configuration, 0, 1)  # daemon's primary group
    configuration.chmod(0o664)
    with pytest.raises(ConfigFaults, match="can be written by other users"):
        load_config(str(configuration))


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A working folder with a packrat.yaml, and no other configuration anywhere."""
    folder = tmp_path / "here"
    folder.mkdir()
    (folder / "packrat.yaml").touch()
    monkeypatch.chdir(folder)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PACKRAT_CONFIG", raising=False)
    monkeypatch.setattr("specs.load.PLACES", ("~/.config/packrat/config.yaml",))
    return folder


def test_the_working_folders_configuration_is_the_last_one(here, tmp_path):
    assert find_config() == "packrat.yaml"
    own = tmp_path / ".config" / "packrat" / "config.yaml"
    own.parent.mkdir(parents=True)
    own.touch()
    assert find_config() == str(own)


@pytest.mark.parametrize(
    "expose",
    [
        lambda folder: os.chown(folder, STRANGER, STRANGER),
        lambda folder: os.chown(folder / "packrat.yaml", STRANGER, STRANGER),
        lambda folder: folder.chmod(0o1777),
        lambda folder: (folder / "packrat.yaml").chmod(0o666),
    ],
    ids=["folder", "file", "sticky folder", "writable file"],
)
def test_the_working_folders_configuration_is_only_used_if_it_is_safe(here, expose):
    expose(here)
    with pytest.raises(ConfigFaults, match=r"\./packrat\.yaml: not used") as caught:
        find_config()
    assert "no configuration found" in str(caught.value)
