"""Nonces: also where the random generator repeats, they never meet for different content."""

from hypothesis import given
from hypothesis import strategies as st

from vault.archive.derivation import Derivation
from vault.archive.header import Header
from vault.archive.keys import Keys
from vault.archive.seal import Sealer, compress
from vault.archive.slots import PasswordSlot

KEYS = Keys(bytes(32), bytes(32), (PasswordSlot(Derivation(bytes(16)), bytes(60)),))
OTHERS = Keys(bytes(32), bytes(32), (PasswordSlot(Derivation(bytes(16)), bytes(59) + b"x"),))
packed = st.binary().map(lambda data: compress(data, 1))
frames = st.tuples(st.integers(0, 3), st.sampled_from([b"m", b"t", b"d", b"i"]), packed)


def sealer(keys=KEYS, archive_id=bytes(16)):
    """Return the sealer of an archive id that a repeated generator gives again."""
    return Sealer(keys, Header(archive_id, keys.commitment, keys.slots), "x")


@given(frames, frames)
def test_two_frames_share_a_nonce_only_if_they_are_the_same_frame(one, other):
    """Two runs of a machine that was set back to a snapshot may seal under one archive id."""
    first, second = sealer().seal(*one), sealer().seal(*other)
    assert (first[:12] == second[:12]) == (one == other)
    assert (first == second) == (one == other)


@given(frames)
def test_the_same_frame_under_another_header_has_another_nonce(frame):
    """The key slots may have changed between the snapshot and the second run."""
    assert sealer().seal(*frame)[:12] != sealer(OTHERS).seal(*frame)[:12]
    assert sealer().seal(*frame)[:12] != sealer(archive_id=bytes(15) + b"x").seal(*frame)[:12]


@given(frames)
def test_what_was_sealed_is_opened(frame):
    number, kind, data = frame
    assert sealer().open(number, kind, sealer().seal(number, kind, data)) == data


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_a_password_slot_repeats_its_nonce_only_for_the_same_key(one, other):
    """A slot is made without any randomness of its own."""
    first, second = (
        PasswordSlot.make(Derivation(bytes(16)), bytes(32), key) for key in (one, other)
    )
    assert (first.wrapped[:12] == second.wrapped[:12]) == (one == other)
