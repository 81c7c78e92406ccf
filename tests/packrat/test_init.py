"""`packrat init`: rehearsal of the password, and the recovery sheet."""

import base64
import re
from pathlib import Path

import pytest
import yaml

from tests.helpers.house import PASSWORD, House
from tests.helpers.terminal import plain, status, terminal
from tests.helpers.transcript import check_golden

GOLDEN = Path(__file__).parent / "golden" / "init.txt"
PLACES = {
    "s3": {
        "type": "s3",
        "endpoint": "https://s3.us-west-001.backblazeb2.com",
        "region": "us-west-001",
        "bucket": "homelab",
        "access_key_id": "i",
        "secret_access_key": "very secret",
        "path": "backups/packrat/",
    },
    "nas": {"type": "sftp", "host": "192.168.1.100", "username": "backups", "path": "./backups/"},
    "disk": {"type": "local", "path": "/mnt/backup"},
}


@pytest.fixture
def fresh(tmp_path):
    """A house without a key, and a destination of each kind."""
    house = House(tmp_path, backup={"destinations": PLACES})
    house.key_file.unlink()
    return house


def test_the_recovery_sheet_equals_the_golden_file(fresh):
    """It shows key, salt, services, destinations and the recovery steps, and no secret."""
    done = fresh.cli("init", "--password-file", fresh.password_file())
    assert done.returncode == 0, done.stderr
    said = done.stdout.replace(str(fresh.root), "ROOT")
    said = re.sub(r"\b[0-9a-f]{32}\b", "SALT", re.sub(r"\b[0-9a-f]{16}\b", "KEYID", said))
    check_golden(GOLDEN, "recovery sheet", said)
    key = yaml.safe_load(fresh.key_file.read_text())
    for secret in (PASSWORD, "very secret", key["key"]):
        assert secret not in done.stdout
    slots = base64.b64decode(key["slots"])
    assert slots[4:20].hex() in done.stdout  # the salt


def typed(house, *answers):
    child = terminal(house, "init")
    for question, answer in zip(("Password:", "Again:", *["down:"] * 3), answers, strict=False):
        child.expect(question)
        child.sendline(answer)
    return status(child), plain(child.before)


@pytest.mark.thorough
def test_the_password_is_proven_once_more(fresh):
    """A typing error is reported; the right password creates the key."""
    code, said = typed(fresh, PASSWORD, PASSWORD, "a slip of it", PASSWORD)
    assert code == 0
    assert "RECOVERY SHEET" in said
    assert fresh.key_file.exists()


def test_a_password_that_cannot_be_proven_makes_no_key(fresh):
    """After three wrong attempts: exit 7, and nothing was written."""
    code, said = typed(fresh, PASSWORD, PASSWORD, "one", "two", "three")
    assert code == 7
    assert " ".join(said.split()).endswith(
        "packrat: the password was not confirmed; nothing was written; "
        "start again with packrat init"
    )
    assert not fresh.key_file.exists()


@pytest.mark.thorough
def test_the_length_is_checked_again_after_a_mismatch(fresh):
    """A one-letter password was once accepted after two that differed."""
    child = terminal(fresh, "init")
    for question, answer in (
        ("Password:", "abc"),
        ("Use at least 8 characters", None),
        ("Password:", "long enough"),
        ("Again:", "another one"),
        ("differ", None),
        ("Password:", "x"),
        ("Use at least 8 characters", None),
        ("Password:", PASSWORD),
        ("Again:", PASSWORD),
        ("down:", PASSWORD),
    ):
        child.expect(question)
        if answer is not None:
            child.sendline(answer)
    assert status(child) == 0


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"x\n", "shorter than 8 characters"),
        ("correct horse".encode("utf-16"), "save it as UTF-8"),
        (b"\n", "first line is empty"),
        (b"x" * (1 << 17), "longer than 64 KiB"),
    ],
)
def test_a_password_file_that_cannot_be_typed_is_refused(fresh, content, says):
    file = fresh.root / "password"
    file.write_bytes(content)
    done = fresh.cli("init", "--password-file", str(file))
    assert done.returncode == 2
    assert says in done.stderr
    assert not fresh.key_file.exists()


def test_a_byte_order_mark_is_not_part_of_the_password(tmp_path):
    """Notepad writes one, and the typed password then opened nothing."""
    house = House(tmp_path)
    house.key_file.unlink()
    file = house.root / "password"
    file.write_bytes(b"\xef\xbb\xbf" + PASSWORD.encode() + b"\r\n")
    assert house.cli("init", "--password-file", str(file)).returncode == 0
    done = house.cli("rekey", "--password-file", house.password_file(PASSWORD))
    assert done.returncode == 0, done.stderr


def test_a_password_file_that_others_can_read_causes_a_warning(fresh):
    file = fresh.password_file()
    Path(file).chmod(0o644)
    assert "can be read by other users" in fresh.cli("init", "--password-file", file).stderr
    fresh.key_file.unlink()
    Path(file).chmod(0o600)
    assert "can be read" not in fresh.cli("init", "--password-file", file).stderr
