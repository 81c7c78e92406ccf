"""`packrat password`: another password for the same key."""

import pytest

from tests.helpers.house import PASSWORD, House, cheap_keys
from tests.helpers.terminal import status, terminal
from tests.helpers.trees import fill
from tests.vectors.make import RECIPIENT
from vault.archive.derivation import MIB_IN_KIB, Derivation
from vault.archive.header import Header
from vault.archive.key_file import read_key_file
from vault.archive.keys import Keys
from vault.archive.slots import RecipientSlot

NEW = "another password"


def changed(house, password=NEW):
    return house.cli("password", "--password-file", house.password_file(password))


def rekey(house, password):
    house.key_file.unlink(missing_ok=True)
    return house.cli("rekey", "--password-file", house.password_file(password))


@pytest.fixture
def house(tmp_path):
    """House with one backup."""
    house = House(tmp_path)
    fill(house.source, {"a": b"1"})
    house.backed_up()
    return house


def slots_of(archive):
    return Header.unpack(archive.read_bytes()[:8192], archive.name).slots


def test_a_new_password_opens_old_and_new_backups_on_a_bare_machine(house):
    """Nothing is stored again, and the old password is no longer put into archives."""
    done = changed(house)
    assert done.returncode == 0, done.stderr
    assert "packrat backup --all" in done.stdout
    assert house.backed_up().stat().st_size < 20_000
    assert house.cli("list").stderr == "", "it is the same key"
    house.forget()
    assert rekey(house, NEW).returncode == 0
    assert (house.restore("first", "latest~1") / "a").read_bytes() == b"1"
    house.backed_up()
    assert len(slots_of(house.archives[-1])) == 1
    assert slots_of(house.archives[-1]) == slots_of(house.archives[1])


def test_until_the_next_backup_a_bare_machine_needs_the_old_password(house):
    """And the old one opens what was stored under it, as the command says."""
    assert changed(house).returncode == 0
    assert rekey(house, NEW).returncode == 7
    assert rekey(house, PASSWORD).returncode == 0


def test_rekey_does_not_bring_an_old_password_back(house):
    """The archive that proves the key may be older than the new password."""
    assert changed(house).returncode == 0
    done = house.cli("rekey", "--password-file", house.password_file(NEW))
    assert done.returncode == 0, done.stderr
    assert len(read_key_file(str(house.key_file)).slots) == 1


def test_other_slots_stay():
    keys = cheap_keys()
    recipient = RecipientSlot.make(RECIPIENT, keys.master)
    more = Keys(keys.master, keys.derived, (*keys.slots, recipient))
    after = more.with_password(NEW, Derivation(b"another  salt...", 64 * MIB_IN_KIB, 1, 2))
    assert after.master == keys.master
    assert after.slots[1:] == (recipient,)
    assert after.slots[0] != keys.slots[0]


@pytest.mark.thorough
def test_a_password_that_is_not_confirmed_changes_nothing(house):
    before = house.key_file.read_bytes()
    child = terminal(house, "password")
    for question, answer in zip(
        ("New password:", "Again:", "down:", "down:", "down:"),
        (NEW, NEW, "wrong", "wrong", "wrong"),
        strict=True,
    ):
        child.expect(question)
        child.sendline(answer)
    assert status(child) == 7
    assert house.key_file.read_bytes() == before
    assert changed(house, "short").returncode == 2
    assert house.key_file.read_bytes() == before


def test_messages_do_not_lead_in_a_circle(house):
    """`init` and `rekey` once recommended each other to whoever wanted another password."""
    again = house.cli("init", "--password-file", house.password_file(NEW))
    assert again.returncode == 7
    assert "packrat password" in again.stderr
    wrong = house.cli("rekey", "--password-file", house.password_file(NEW))
    assert wrong.returncode == 7
    assert "packrat password changes it" in wrong.stderr
