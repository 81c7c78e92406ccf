"""Keys: derived from the password exactly as in docs/format.md; the key file protects them."""

import base64
import json
import os
import stat
import unicodedata

import pytest
from argon2.low_level import Type, hash_secret_raw
from cryptography.hazmat.primitives import hashes, hmac
from hypothesis import given
from hypothesis import strategies as st

from vault.archive.derivation import Derivation
from vault.archive.key_file import read_key_file, write_key_file
from vault.archive.keys import Keys
from vault.archive.slots import pack_slots
from vault.errors import Damaged, KeyFileError

SALT = bytes(range(16))
DERIVATION = Derivation(SALT, 64 * 1024, 1, 1)


def by_hand(master, salt, info, length):
    """HKDF of RFC 5869 with SHA-256, made of its two HMACs, for up to 32 bytes."""

    def mac(key, data):
        one = hmac.HMAC(key, hashes.SHA256())
        one.update(data)
        return one.finalize()

    return mac(mac(salt or bytes(32), master), info + b"\1")[:length]


def test_the_derived_key_is_argon2id_of_the_password():
    """Argon2id has exactly the parameters of the slot."""
    derivation = Derivation(SALT, 65 * 1024, 2, 3)
    expected = hash_secret_raw(b"pass word", SALT, 2, 65 * 1024, 3, 32, Type.ID)
    assert derivation.derive("pass word") == expected


def test_the_master_key_is_random_and_the_password_opens_its_slot():
    """A later password needs only another slot; two machines never share a master key."""
    one, other = (Keys.create("password", DERIVATION) for _ in range(2))
    assert one.master != other.master
    assert one.password_slot.unwrap(DERIVATION.derive("password")) == one.master
    assert one.password_slot.unwrap(DERIVATION.derive("passwore")) is None
    assert other.password_slot.unwrap(one.derived) == other.master


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=16, max_size=16))
def test_all_other_keys_are_hkdf_of_the_master_key(master, archive_id):
    """Commitment, naming key, archive and nonce keys are HKDF-SHA256 under the format's infos."""
    keys = Keys(master, b"", ())
    assert keys.commitment == by_hand(master, b"", b"packrat commitment", 32)
    assert keys.key_id == keys.commitment[:8]
    assert keys.naming_key == by_hand(master, b"", b"packrat chunk", 32)
    assert keys.archive_key(archive_id) == by_hand(master, archive_id, b"packrat archive", 32)
    assert keys.nonce_key(archive_id) == by_hand(master, archive_id, b"packrat nonce", 32)


def test_a_password_is_the_same_however_its_letters_are_composed():
    """Keyboards differ in how they compose an umlaut; the key does not."""
    composed, taken_apart = (unicodedata.normalize(form, "Pässwörd") for form in ("NFC", "NFD"))
    assert composed != taken_apart
    assert DERIVATION.derive(composed) == DERIVATION.derive(taken_apart)
    assert DERIVATION.derive("Passwörd") != DERIVATION.derive(composed)


@pytest.mark.parametrize(
    "bad",
    [
        Derivation(SALT[:15], 64 * 1024, 1, 1),
        Derivation(SALT, 64 * 1024 - 1, 1, 1),
        Derivation(SALT, 4096 * 1024 + 1, 1, 1),
        Derivation(SALT, 64 * 1024, 0, 1),
        Derivation(SALT, 64 * 1024, 17, 1),
        Derivation(SALT, 64 * 1024, 1, 0),
        Derivation(SALT, 64 * 1024, 1, 65),
    ],
)
def test_parameters_out_of_bounds_are_refused_before_they_cost_anything(bad):
    """A forged header can neither exhaust memory nor make guessing cheap."""
    with pytest.raises(Damaged, match="somewhere"):
        bad.check("somewhere")


@pytest.mark.parametrize("good", [(64 * 1024, 1, 1), (4096 * 1024, 16, 64)])
def test_the_bounds_themselves_are_allowed(good):
    """The format's bounds are inclusive."""
    Derivation(SALT, *good).check("somewhere")


def test_the_defaults_are_at_least_what_the_rfc_recommends():
    """RFC 9106's second recommendation: 64 MiB, 3 passes, 4 lanes."""
    default = Derivation(SALT)
    assert (default.memory >= 64 * 1024, default.passes, default.lanes) == (True, 3, 4)


def test_the_key_file_is_what_the_format_says(tmp_path, keys):
    """The key file is the documented JSON, readable by its owner only, and can be read back."""
    path = tmp_path / "new" / "key"
    old = os.umask(0)
    try:
        write_key_file(str(path), keys)
    finally:
        os.umask(old)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert json.loads(path.read_text()) == {
        "packrat_key": 2,
        "key_id": keys.key_id.hex(),
        "key": keys.master.hex(),
        "derived_key": keys.derived.hex(),
        "slots": base64.b64encode(pack_slots(keys.slots)).decode(),
    }
    assert read_key_file(str(path)) == keys
    assert os.listdir(path.parent) == ["key"]


def test_no_log_shows_a_key(keys):
    """The text of Keys does not contain the key."""
    assert keys.master.hex() not in repr(keys)
    assert repr(keys.master) not in repr(keys)


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_a_key_file_is_never_overwritten(tmp_path, keys, kind):
    """Whatever has the key file's name stays as it is, including a dangling link."""
    path = tmp_path / "key"
    if kind == "file":
        path.write_bytes(b"precious")
    elif kind == "link":
        path.symlink_to(tmp_path / "nowhere")
    else:
        path.mkdir()
    before = os.lstat(path)
    with pytest.raises(KeyFileError, match="never overwritten"):
        write_key_file(str(path), keys)
    assert os.lstat(path) == before
    assert os.listdir(tmp_path) == ["key"]


def test_a_key_file_made_meanwhile_is_not_overwritten(tmp_path, keys, monkeypatch):
    """Of two simultaneous inits one wins, and neither leaves temporary files."""
    path = tmp_path / "key"
    link = os.link

    def late(source, target):
        path.write_bytes(b"the other init was quicker")
        link(source, target)

    monkeypatch.setattr(os, "link", late)
    with pytest.raises(KeyFileError):
        write_key_file(str(path), keys)
    assert path.read_bytes() == b"the other init was quicker"
    assert os.listdir(tmp_path) == ["key"]


def test_a_temporary_file_of_a_killed_rekey_is_no_obstacle(tmp_path, keys):
    """In a container every run has the same process id: an old temporary file must not matter."""
    path = tmp_path / "key"
    (tmp_path / f"key.{os.getpid()}.part").write_bytes(b"half")
    write_key_file(str(path), keys)
    assert os.listdir(tmp_path) == ["key"]


def test_replacing_is_whole_and_private(tmp_path, keys):
    """Rekey replaces a key file, even a readable one, by a private one."""
    path = tmp_path / "key"
    path.write_bytes(b"damaged")
    path.chmod(0o644)
    write_key_file(str(path), keys, replace=True)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert read_key_file(str(path)) == keys


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o601])
def test_a_key_file_that_others_can_reach_is_refused(tmp_path, keys, mode):
    """Any right of group or others is an error that says how to repair it."""
    path = tmp_path / "key"
    write_key_file(str(path), keys)
    path.chmod(mode)
    with pytest.raises(KeyFileError, match="read by others") as caught:
        read_key_file(str(path))
    assert caught.value.hint == f"chmod 600 {path}"


def altered(**changes):
    def change(document):
        return json.dumps(document | changes).encode()

    return change


@pytest.mark.parametrize(
    "change",
    [
        lambda _: b"",
        lambda _: b"\xff\xfe",
        lambda _: b"[]",
        lambda document: json.dumps(document).encode()[:-9],
        lambda document: json.dumps({k: v for k, v in document.items() if k != "slots"}).encode(),
        altered(more=1),
        altered(key="00" * 32),
        altered(key="00" * 31),
        altered(key="zz" * 32),
        altered(key_id="00" * 8),
        altered(packrat_key=1),
        altered(derived_key="00" * 32),
        altered(slots="AA=="),
        altered(slots="?"),
    ],
)
def test_a_damaged_key_file_is_refused(tmp_path, keys, change):
    """The error names the file and suggests rekey."""
    path = tmp_path / "key"
    write_key_file(str(path), keys)
    path.write_bytes(change(json.loads(path.read_text())))
    with pytest.raises(KeyFileError, match=str(path)) as caught:
        read_key_file(str(path))
    assert "packrat rekey" in caught.value.hint


def test_an_invalid_key_file_is_an_error_with_a_hint(tmp_path):
    """Missing: init or rekey. A folder instead: our own error, not Python's."""
    with pytest.raises(KeyFileError) as caught:
        read_key_file(str(tmp_path / "none"))
    assert "packrat init" in caught.value.hint
    with pytest.raises(KeyFileError, match=str(tmp_path)):
        read_key_file(str(tmp_path))
