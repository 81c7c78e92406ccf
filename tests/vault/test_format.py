"""Names, header and trailer: as in docs/format.md, byte by byte, both ways."""

import hashlib
import struct

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from vault.archive.derivation import Derivation
from vault.archive.format import (
    TRAILER,
    ArchiveName,
    Entry,
    Trailer,
    decode_entries,
    encode,
    order,
    stamp,
    text,
    unstamp,
    untext,
)
from vault.archive.header import Header
from vault.archive.slots import PasswordSlot, RecipientSlot, pack_slots
from vault.errors import Damaged

ids = st.binary(min_size=16, max_size=16)
derivations = st.builds(
    Derivation,
    ids,
    st.integers(64 * 1024, 4096 * 1024),
    st.integers(1, 16),
    st.integers(1, 64),
)
passwords = st.builds(PasswordSlot, derivations, st.binary(min_size=60, max_size=60))
recipients = st.builds(RecipientSlot, st.binary(min_size=1, max_size=490))
slots = st.lists(passwords | recipients, min_size=1, max_size=16).map(tuple)
headers = st.builds(Header, ids, st.binary(min_size=32, max_size=32), slots)
names = st.binary(min_size=1, max_size=20).filter(lambda name: not set(name) & set(b"/\0"))
paths = st.lists(names, min_size=1, max_size=4).map(b"/".join)


def as_text(path):
    return path.decode("utf-8", "surrogateescape")


@given(headers)
def test_a_header_has_its_fields_at_the_documented_offsets(header):
    """Each field is at its documented offset, and all of it can be read back, also with more."""
    data = header.packed
    assert len(data) == header.size <= 8192
    assert data[:12] == b"PACKRAT\n\0\2" + len(data).to_bytes(2)
    assert data[12:28] == header.archive_id
    assert data[28:60] == header.commitment
    assert data[60] == len(header.slots)
    at = 61
    for slot in header.slots:
        assert data[at : at + 3] == struct.pack(">BH", slot.KIND, len(slot.body))
        at += 3 + len(slot.body)
    assert data[at:] == hashlib.sha256(data[:at]).digest()[:8]
    assert Header.unpack(data + b"more", "x") == header


@given(headers, st.data())
def test_any_flipped_bit_of_a_header_is_found(header, data):
    """One flipped bit anywhere in the header is an error that names the file."""
    packed = bytearray(header.packed)
    bit = data.draw(st.integers(0, 8 * len(packed) - 1))
    packed[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Damaged, match="the-file"):
        Header.unpack(bytes(packed) + bytes(9000), "the-file")


def checksummed(head):
    return bytes(head) + hashlib.sha256(head).digest()[:8]


ONE = PasswordSlot(Derivation(bytes(16)), bytes(60))


def test_a_header_of_another_version_says_so():
    """An archive of a newer packrat is not damaged: the hint is to use a newer packrat."""
    head = bytearray(Header(bytes(16), bytes(32), (ONE,)).packed[:-8])
    head[9] = 3
    with pytest.raises(Damaged, match="format version 3") as caught:
        Header.unpack(checksummed(head), "x")
    assert "newer packrat" in caught.value.hint


def test_a_slot_whose_parameters_are_out_of_bounds_is_refused():
    """A correct checksum does not make 1 TiB of memory acceptable."""
    costly = PasswordSlot(Derivation(bytes(16), memory=2**30), bytes(60))
    with pytest.raises(Damaged, match="out of bounds"):
        Header.unpack(Header(bytes(16), bytes(32), (costly,)).packed, "x")


@pytest.mark.parametrize(
    "packed",
    [
        b"\0",
        b"\1",
        b"\1\2\0\0",
        b"\2" + pack_slots((ONE,))[1:],
        b"\1" + 2 * pack_slots((ONE,))[1:],
        b"\1\3\0\1x",
        b"\1\1\0\1x",
        b"\x11" + 17 * pack_slots((ONE,))[1:],
        pack_slots((ONE,))[:-1],
        pack_slots((ONE,)) + b"x",
    ],
)
def test_slots_that_do_not_fill_their_part_of_a_header_are_refused(packed):
    """None, too many, cut off, followed by something, of an unknown kind or of a wrong size."""
    head = struct.pack(">8sHH16s32s", b"PACKRAT\n", 2, 68 + len(packed), bytes(16), bytes(32))
    with pytest.raises(Damaged, match="slot"):
        Header.unpack(checksummed(head + packed), "x")


def test_sixteen_slots_for_the_largest_recipients_fit():
    """A header is read at once: 16 age files of ordinary recipients are within 8 KiB."""
    slots = (ONE, *[RecipientSlot(bytes(490))] * 15)
    assert Header(bytes(16), bytes(32), slots).size <= 8192
    with pytest.raises(ValueError, match="8192"):
        _ = Header(bytes(16), bytes(32), (RecipientSlot(bytes(8192)),)).packed


@given(headers, st.integers(0, 2**40), st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1))
def test_a_trailer_comes_back(header, offset, manifest, table):
    """A trailer is 32 bytes, and states where manifest and table are."""
    trailer = Trailer(offset, manifest, table, header.archive_id)
    data = trailer.pack()
    assert len(data) == TRAILER.size == 32
    assert data[24:] == b"TARKCAP\n"
    size = offset + manifest + table + 32
    assert Trailer.unpack(b"before" + data, size, header, "x") == trailer


@given(headers, st.integers(0, 255))
def test_any_flipped_bit_of_a_trailer_is_found(header, bit):
    """One flipped bit anywhere in the trailer is an error that names the file."""
    data = bytearray(Trailer(72, 100, 50, header.archive_id).pack())
    data[bit // 8] ^= 1 << bit % 8
    with pytest.raises(Damaged, match="the-file"):
        Trailer.unpack(bytes(data), 254, header, "the-file")


@given(
    st.from_regex(r"[^/\n]+", fullmatch=True),
    st.integers(0, 2**33),
    st.binary(min_size=4, max_size=4),
)
@example("a-20260101T000000Z-00000000.packrat", 0, b"\0\0\0\0")
@example("-", 0, b"abcd")
def test_an_archive_name_says_service_time_and_id(service, seconds, short):
    """The parts of an archive's name can be parsed for any name of a service."""
    name = ArchiveName(service, stamp(seconds), short.hex())
    assert ArchiveName.parse(str(name)) == name


@pytest.mark.parametrize(
    "name",
    [
        "svc.packrat",
        "-20260101T000000Z-0011aabb.packrat",
        "svc-20260101T000000Z-0011AABB.packrat",
        "svc-20260101T000000-0011aabb.packrat",
        "svc-20260101T000000Z-0011aab.packrat",
        "svc-20260101T000000Z-0011aabb.packrat.part",
        "svc-20260101T000000Z-0011aabb.packrat\n",
        "svc-\u0662\u0660\u0662\u06660101T000000Z-0011aabb.packrat",
        "notes.txt",
    ],
)
def test_other_names_are_none_of_ours(name):
    """Names that packrat never creates are never taken for an archive."""
    assert ArchiveName.parse(name) is None


@given(st.integers(0, 253_402_300_798))
def test_times_come_back_to_the_second(seconds):
    """Stamps sort like times, and can be parsed."""
    assert unstamp(stamp(seconds)) == seconds
    assert stamp(seconds) < stamp(seconds + 1)


@given(paths)
def test_any_name_survives_json(path):
    """A name is text, or base64 if it is not UTF-8; either way it survives byte by byte."""
    plain, encoded = text(as_text(path))
    entry = Entry(plain, encoded)
    [back] = decode_entries(encode([entry]))
    assert back.name.encode("utf-8", "surrogateescape") == path
    assert untext(back.path, back.path64) == back.name
    try:
        path.decode()
        assert encoded is None
    except UnicodeDecodeError:
        assert plain == ""


@given(st.lists(paths, unique=True, max_size=30))
def test_the_order_is_that_of_a_walk(found):
    """`order` sorts each folder by the bytes of its names."""
    by_walk = sorted(found, key=lambda path: path.split(b"/"))
    assert sorted(found, key=lambda path: order(as_text(path))) == by_walk


def test_the_content_of_a_folder_comes_before_its_siblings():
    """`a`, `a/b`, `a-b`: the content of a folder follows it at once."""
    assert sorted(["a-b", "a/b", "a", "a.b", "a/-"], key=order) == ["a", "a/-", "a/b", "a-b", "a.b"]


def test_defaults_cost_nothing():
    """Keys with their default value are left out of the JSON."""
    assert encode(Entry()) == b"{}"
