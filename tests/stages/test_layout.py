"""Layout of a restore, for frames whose files are scattered."""

import math
from collections import Counter
from unittest import mock

from hypothesis import given, settings
from hypothesis import strategies as st

from stages.restore_target import layout
from stages.restore_target.layout import Layout, stretches_of
from tests.helpers.sampling import examples
from vault.archive.format import Entry


@settings(max_examples=examples(20))
@given(
    st.lists(st.integers(2, 5), min_size=1, max_size=300),
    st.integers(1, 50),
    st.integers(2, 40),
)
def test_a_frame_is_opened_no_oftener_than_it_must(frames, together, most):
    """All required stretches come at once, up to a maximum, however far apart the files are.

    After many incremental backups the files of each frame are spread over the whole tree.
    """
    with mock.patch.multiple(layout, TOGETHER=together, WANTED_MOST=most):
        laid = Layout()
        for number, frame in enumerate(frames):
            chunk = ("0" * 32, "ab" * 16, frame, number, 1)
            laid.add(Entry(path=f"f{number:03}", size=1, chunks=[chunk]), [chunk])
        laid.complete(str)
        wanted = Counter(frames)
        assert laid.frames(str) == [("ab" * 16, frame) for frame in sorted(wanted)]
        for frame, count in wanted.items():
            parts = [stretches_of(part) for part in laid.wanted("ab" * 16, frame)]
            assert sorted(s.start for part in parts for s in part) == [
                number for number, other in enumerate(frames) if other == frame
            ]
            assert max(map(len, parts)) <= most
            assert len(parts) <= math.ceil(2 * count / most)
