"""Limits: untrusted lengths at a destination never decide how much is read."""

import os
import re
import struct
import subprocess
import sys
from pathlib import Path

import pytest

import rescue
from tests.helpers.house import House, cheap_keys, header_size
from tests.helpers.trees import differences, fill, noise
from vault.archive.format import TRAILER_MAGIC
from vault.archive.header import Header
from vault.archive.limits import PLAINTEXT_MOST, SEALED_MOST
from vault.archive.reader import Archive
from vault.archive.seal import Sealer
from vault.errors import Damaged
from vault.store.local import Local

ROOT = Path(__file__).parents[2]
LATEST = "svc-20991231T235959Z-"


def oversized(store, manifest, table):
    """Plant a sparse archive: a true header, and a trailer with the given lengths."""
    some = next(store.glob("*.packrat"))
    whole = some.read_bytes()
    head = whole[: header_size(whole)]
    id_ = head[12:28]
    path = store / f"{LATEST}{id_[:4].hex()}.packrat"
    with open(path, "wb") as file:
        file.write(head)
        file.truncate(len(head) + manifest + table)
        file.seek(len(head) + manifest + table)
        file.write(struct.pack(">QII8s8s", len(head), manifest, table, id_[:8], TRAILER_MAGIC))
    return path


@pytest.fixture
def two(tmp_path):
    """House that backs up to a good and to a hostile destination."""
    house = House(tmp_path, ("good", "evil"))
    fill(house.source, {"a": noise(150_000)})
    house.backed_up()
    return house


LENGTHS = [(2**32 - 1, 2**32 - 1), (2**32 - 1, 0), (2**31 + 16, 0), (16, 2**32 - 1), (33 << 20, 0)]


@pytest.mark.parametrize(("manifest", "table"), LENGTHS)
@pytest.mark.thorough
def test_oversized_archive_at_one_destination_does_not_touch_the_other(two, manifest, table):
    """The good destination gets its backup, with little memory, and the archive is named."""
    path = oversized(two.stores["evil"] / "svc", manifest, table)
    fill(two.source, {"b": noise(9000, 2)})
    limited = ("prlimit", f"--data={1 << 30}")
    done = two.cli("backup", "svc", wrap=limited)
    assert done.returncode == 0, done.stderr
    assert len(two.catalog("good").backups) == 2
    listed = two.cli("list", wrap=limited)
    assert listed.returncode == 0, listed.stderr
    assert path.name in listed.stderr
    assert "the format allows" in listed.stderr
    assert differences(two.source, two.restore()) == []


@pytest.mark.parametrize(("manifest", "table"), LENGTHS)
def test_no_read_is_longer_than_its_limit(two, manifest, table):
    """Requests to the destination stay within the limits, whatever the trailer says."""
    path = oversized(two.stores["evil"] / "svc", manifest, table)
    requested = []

    def read(offset, length):
        requested.append(length)
        with open(path, "rb") as file:
            return os.pread(file.fileno(), length, offset)

    with pytest.raises(Damaged, match="the format allows"):
        Archive(read, path.stat().st_size, path.name, cheap_keys())
    assert max(requested) <= 64 << 10


@pytest.mark.parametrize("size", [-1, 0, 71, 103, 2**63, 2**80])
def test_impossible_sizes_are_damage_and_not_a_crash(two, size):
    """The size in a listing is untrusted as well."""
    name = two.archives[0].name
    with pytest.raises(Damaged):
        Archive(lambda _, length: bytes(max(length, 0)), size, name, cheap_keys())


def test_a_frame_of_two_gib_is_damage_and_not_a_panic():
    """The library panics at that size, and its panic is not an Exception."""
    keys = cheap_keys()
    header = Header(bytes(16), keys.commitment, keys.slots)
    with pytest.raises(Damaged, match="larger than the format allows"):
        Sealer(keys, header, "x").open(0, b"m", Huge())


class Huge(bytes):
    """Bytes that claim to be 2 GiB and take no memory."""

    def __len__(self):
        return 2**31 + 16


def test_more_bytes_than_requested_are_refused(two):
    """Data beyond the request is never parsed."""
    path = two.archives[0]
    data = path.read_bytes()
    with pytest.raises(Damaged, match="more came than was requested"):
        Archive(
            lambda offset, length: data[offset : offset + length] + b"!",
            len(data),
            path.name,
            cheap_keys(),
        )


def test_a_frame_that_arrives_damaged_is_requested_once_more(two):
    """One bit flips on the way, at any read: the archive is good all the same."""
    path = two.archives[0]
    data = path.read_bytes()
    reads = 0

    def opened(flipped, *, again=False):
        nonlocal reads
        reads = 0

        def read(offset, length):
            nonlocal reads
            found = bytearray(data[offset : offset + length])
            if reads == flipped or (again and reads == flipped + 1):
                found[-40 if offset else 20] ^= 1
            reads += 1
            return bytes(found)

        archive = Archive(read, len(data), path.name, cheap_keys())
        return [archive.any_frame(number + 2) for number in range(len(archive.frames))]

    good = opened(-9)
    total = reads
    for flipped in range(total):
        assert opened(flipped) == good
        assert reads == total + 1
    with pytest.raises(Damaged):
        opened(total - 1, again=True)


@pytest.mark.parametrize("only", [True, False])
def test_a_restore_survives_one_flipped_bit_in_transit(two, monkeypatch, only):
    """Also with a single destination: it is read again before anything is lost."""
    original, flipped = Local.read, []

    def read(self, service, name, offset, length, *check):
        found = original(self, service, name, offset, length, *check)
        if 0 < offset < 50_000 < offset + length and not flipped:
            flipped.append(name)
            found = bytearray(found)
            found[len(found) // 2] ^= 1
        return bytes(found)

    if only:
        document = two.config_file.read_text()
        two.config_file.write_text(re.sub(r"    evil:\n( {6}.*\n)+", "", document))
        assert list(two.program.destinations("svc")) == ["good"]
    monkeypatch.setattr(Local, "read", read)
    out = two.restore()
    assert flipped
    assert differences(two.source, out) == []


def test_rescue_and_the_format_page_name_the_same_limits():
    """The list of limits is in three places."""
    assert rescue.LIMITS == PLAINTEXT_MOST
    assert rescue.SEALED_LIMITS == SEALED_MOST
    page = (ROOT / "docs" / "format.md").read_text()
    units = {"MiB": 1 << 20, "GiB": 1 << 30, "KiB": 1 << 10}
    for kind in PLAINTEXT_MOST:
        row = rf"^\| `{kind.decode()}` \| ([0-9][^|]+) \| ([0-9][^|]+) \|"
        sealed, plain = re.search(row, page, re.MULTILINE).groups()
        number, unit = plain.split()
        content = int(number) * units[unit]
        assert content == PLAINTEXT_MOST[kind]
        number, unit, *more = sealed.split(maxsplit=2)
        said = int(number) * units[unit] + (content // 128 + 1024 if more else 0)
        assert said == SEALED_MOST[kind]


def test_rescue_refuses_an_oversized_archive_before_it_reads_it(two):
    """Its memory is bounded as well."""
    path = oversized(two.stores["evil"] / "svc", 2**32 - 1, 2**32 - 1)
    words = [str(ROOT / "rescue.py"), "--list", "--key", str(two.key_file), str(path)]
    done = subprocess.run(
        ["prlimit", f"--as={1 << 30}", sys.executable, *words],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert "larger than the format allows" in done.stderr, done.stderr


@pytest.mark.parametrize(("kind", "most"), [(b"m", 300), (b"t", 20), (b"i", 20)])
@pytest.mark.parametrize("limits", [SEALED_MOST, PLAINTEXT_MOST])
def test_what_a_reader_would_refuse_is_not_published(two, monkeypatch, kind, most, limits):
    """A manifest or table beyond its limit ends the backup before anything is listed."""
    fill(two.source, {f"f{n}": noise(100, n) for n in range(300)})
    monkeypatch.setitem(limits, kind, most)
    result = two.back_up(full=True)
    assert result.status == "failed"
    assert "the format allows" in result.error
    assert "split the service" in result.error
    monkeypatch.undo()
    for name in two.stores:
        assert len(two.catalog(name).listed) == 1
    assert two.litter() == []
    assert two.back_up().status == "done"
