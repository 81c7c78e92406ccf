"""Integrity: damage of any kind is an error that names the file, never wrong data."""

import random
import shutil

import pytest

from stages.restore_target.resume import MARKER
from tests.helpers.house import PASSWORD, House, cheap_keys, header_size
from tests.helpers.trees import differences, fill, noise
from vault.archive.format import FIRST_SEGMENT, TRAILER
from vault.archive.reader import Archive
from vault.errors import Damaged, VaultError


@pytest.fixture(scope="module")
def chain(tmp_path_factory):
    """House with a full backup and one that refers to it."""
    house = House(tmp_path_factory.mktemp("chain"))
    fill(house.source, {"a": noise(200_000), "b/c": b"text " * 5000, "b/d": b""})
    house.backed_up()
    fill(house.source, {"b/e": noise(50_000, 5)})
    house.backed_up()
    return house


def opened(data, name):
    def read(offset, length):
        return data[offset : offset + length]

    return Archive(read, len(data), name, cheap_keys())


def everything(data, name):
    """Open an archive and every frame of it, as verify --deep does."""
    archive = opened(data, name)
    for number in range(FIRST_SEGMENT, FIRST_SEGMENT + len(archive.frames)):
        archive.any_frame(number)


def test_every_flipped_byte_is_found(chain):
    """Each byte of header and trailer, and 2,000 others: an error that names the file."""
    for path in chain.archives:
        whole = path.read_bytes()
        everything(whole, path.name)
        ends = [*range(header_size(whole)), *range(len(whole) - TRAILER.size, len(whole))]
        some = [random.Random(1).randrange(len(whole)) for _ in range(2000)]
        for place in ends + some:
            data = bytearray(whole)
            data[place] ^= 1 << (place % 8)
            with pytest.raises(VaultError, match=path.name):
                everything(bytes(data), path.name)


def test_every_cut_is_found(chain):
    """A file truncated at any structural boundary, or near it, is not a backup."""
    for path in chain.archives:
        whole = path.read_bytes()
        archive = opened(whole, path.name)
        edges = {0, 1, header_size(whole), len(whole) - TRAILER.size}
        edges.add(archive.trailer.manifest_offset)
        edges |= {offset for offset, _ in archive.frames}
        edges.add(archive.trailer.manifest_offset + archive.trailer.manifest_length)
        for edge in sorted({max(0, e + near) for e in edges for near in (-1, 0, 1)}):
            with pytest.raises(Damaged, match=path.name):
                everything(whole[:edge], path.name)


def test_two_exchanged_archives_are_found(chain):
    """An archive under the name of another is refused."""
    first, second = chain.archives
    for name, data in ((first.name, second.read_bytes()), (second.name, first.read_bytes())):
        with pytest.raises(Damaged, match=name):
            opened(data, name)


def test_an_old_archive_replayed_under_a_newer_name_is_found(chain):
    """A name must say what the manifest says: service, time and id."""
    first, second = chain.archives
    newer = f"svc-{second.name.split('-')[1]}-{first.stem[-8:]}.packrat"
    with pytest.raises(Damaged, match=newer):
        opened(first.read_bytes(), newer)


@pytest.mark.parametrize("seed", range(12))
def test_files_restored_from_a_damaged_backup_are_identical(chain, tmp_path, seed):
    """A restore from a damaged chain names what is lost; what it writes is correct."""
    house = House(tmp_path)
    shutil.copytree(chain.store, house.store)
    victim = house.archives[seed % 2]
    data = bytearray(victim.read_bytes())
    data[random.Random(seed).randrange(len(data))] ^= 0x40
    victim.write_bytes(data)
    out = tmp_path / "out"
    done = house.cli("restore", "svc", "--to", str(out), "--yes")
    if done.returncode == 0:
        # Either this backup does not need the damaged data, or the newest one is no backup now.
        assert house.cli("verify", "--deep").returncode == 4 or "warning" in done.stderr
    else:
        assert done.returncode in (4, 5)
        assert "Traceback" not in done.stderr
    for path in (path for path in out.rglob("*") if path.is_file()):
        if not path.name.startswith(MARKER):
            assert path.read_bytes() == (chain.source / path.relative_to(out)).read_bytes()
    found = house.cli("verify", "--deep")
    assert found.returncode == 4
    assert victim.stem[-8:] in found.stdout


def test_a_wrong_password_touches_nothing(chain):
    """Rekey with another password: exit 7, and the key file stays as it is."""
    before = chain.key_file.read_bytes()
    done = chain.cli("rekey", "--password-file", chain.password_file("something else"))
    assert done.returncode == 7
    assert "not the password" in done.stderr
    assert chain.key_file.read_bytes() == before


def test_the_password_and_a_destination_are_enough(chain, tmp_path):
    """With key file and state lost, rekey and restore bring everything back."""
    house = House(tmp_path)
    shutil.copytree(chain.store, house.store)
    house.key_file.unlink()
    done = house.cli("rekey", "--password-file", house.password_file(PASSWORD))
    assert done.returncode == 0, done.stderr
    assert house.key_file.stat().st_mode & 0o777 == 0o600
    assert differences(chain.source, house.restore()) == []
