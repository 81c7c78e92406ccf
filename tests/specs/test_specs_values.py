import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter, ValidationError

from specs.values import Duration, Name, Pattern, Rate, Schedule, Size, Wait

duration = TypeAdapter(Duration).validate_python
size = TypeAdapter(Size).validate_python

PARTS = st.integers(0, 99)


@given(days=PARTS, hours=PARTS, minutes=PARTS, seconds=st.integers(1, 99))
def test_duration_sum(days, hours, minutes, seconds):
    """A duration is the sum of its parts, with or without spaces between them."""
    total = days * 86400 + hours * 3600 + minutes * 60 + seconds
    assert duration(f"{days}d{hours}h{minutes}m{seconds}s") == total
    assert duration(f" {days}d {hours}h {minutes}m {seconds}s") == total


@given(st.integers(0, 10**8))
def test_duration_of_a_bare_number(seconds):
    """A bare number is seconds, as a number and as text."""
    assert duration(seconds) == duration(str(seconds)) == seconds


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("2h", 7200), ("1h30m", 5400), ("1d", 86400)]
)
def test_duration_examples(text, seconds):
    """The examples in the documentation have the expected values."""
    assert duration(text) == seconds


@pytest.mark.parametrize(
    "text", ["", " ", "s", "1x", "30 minutes", "1.5h", "-5", "2m1h", "9999d", "٣s", True, None, 1.5]
)
def test_duration_refused(text):
    """Other texts are refused with a hint."""
    with pytest.raises(ValidationError, match=r"is not a duration|longer than ten years"):
        duration(text)


@pytest.mark.parametrize("text", ["1h30", "1d12", "2m30", "1h 30"])
def test_a_last_number_without_a_unit_is_refused(text):
    """`1h30` was once 1 h 30 s, which nobody means."""
    with pytest.raises(ValidationError, match="ends in a number without a unit"):
        duration(text)


@given(st.text())
def test_any_text_is_a_duration_or_refused(text):
    """The parser of durations raises no other error for any text."""
    with contextlib.suppress(ValidationError):
        assert duration(text) >= 0


def test_wait_is_never_zero():
    """A time limit of zero is refused: nothing could finish in it."""
    with pytest.raises(ValidationError, match="is zero"):
        TypeAdapter(Wait).validate_python("0s")


@given(st.integers(0, 10**6), st.sampled_from("KMGTP"))
def test_size_units(number, prefix):
    """K and KiB are 1024, KB is 1000, in any case and with any spaces."""
    power = "KMGTP".index(prefix) + 1
    assert size(f"{number}{prefix}") == size(f"{number} {prefix}iB") == number * 1024**power
    assert size(f"{number} {prefix}B") == size(f"{number}{prefix.lower()}b") == number * 1000**power


@pytest.mark.parametrize(
    ("text", "count"),
    [("256 MiB", 256 << 20), ("10GB", 10**10), ("4G", 4 << 30), (7, 7), ("7 B", 7), ("1.5K", 1536)],
)
def test_size_examples(text, count):
    """The examples of sizes in the documentation have the expected values."""
    assert size(text) == count


@pytest.mark.parametrize("text", ["", "G", "lots", "-1", "1 Gbit", "1e9", "1,5G", True, None])
def test_size_refused(text):
    """Texts that are not a size are refused."""
    with pytest.raises(ValidationError, match="is not a size"):
        size(text)


@given(st.text())
def test_any_text_is_a_size_or_refused(text):
    """The parser of sizes raises no other error for any text."""
    with contextlib.suppress(ValidationError):
        assert size(text) >= 0


def test_rate():
    """A rate is a size per second, and never zero."""
    rate = TypeAdapter(Rate).validate_python
    assert rate("20 MiB/s") == rate("20 MiB") == 20 << 20
    with pytest.raises(ValidationError, match="is zero"):
        rate("0 MB/s")


@pytest.mark.parametrize(
    "text",
    ["0 2 * * *", "*/5 * * * *", "30 4 1,15 jan-mar mon", "@daily", "@midnight", "0 0 29 2 *"],
)
def test_schedule_keeps_its_text(text):
    """The value is the text that the user wrote."""
    assert TypeAdapter(Schedule).validate_python(text) == text


@pytest.mark.parametrize(
    "text",
    ["", "daily", "@reboot", "0 2 * *", "0 2 * * * *", "60 * * * *", "0 2 * * someday", "H * * * *",
     "R * * * *", "r(0-5) * * * *", "0 0 31 2 *", "@daily @daily"],
)  # fmt: skip
def test_schedule_refused(text):
    """Seconds, random fields, nonsense and days that never come are refused."""
    with pytest.raises(ValidationError, match=r"is not a schedule|never comes"):
        TypeAdapter(Schedule).validate_python(text)


@given(st.text(alphabet="0123456789*/-,#@LRHrl adeimntuw", max_size=20))
def test_any_text_is_a_schedule_or_refused(text):
    """The parser of schedules raises no other error for any text."""
    with contextlib.suppress(ValidationError):
        assert TypeAdapter(Schedule).validate_python(text) == text


@pytest.mark.parametrize("text", ["**/tmp/**", "*.log", "!keep.log", "/cache/", "**/.git", "a\\ "])
def test_pattern_keeps_its_text(text):
    """The pattern is the text that the user wrote."""
    assert TypeAdapter(Pattern).validate_python(text) == text


@pytest.mark.parametrize(
    "text",
    ["", " ", "# note", "!", "/", "a[", "[z-a]", "foo\\", "[[:alpha:]]", "[[a]", "./a", "../a",
     "~/a", "a\nb"],
)  # fmt: skip
def test_pattern_refused(text):
    """A pattern that cannot be parsed, or could never match, is refused and not dropped."""
    with pytest.raises(ValidationError, match=r"is not a pattern|matches nothing"):
        TypeAdapter(Pattern).validate_python(text)


@given(st.text(alphabet="ab*?![]^-\\/. :#\n", max_size=12))
def test_any_text_is_a_pattern_or_refused(text):
    """The parser of patterns raises no other error for any text."""
    with contextlib.suppress(ValidationError):
        assert TypeAdapter(Pattern).validate_python(text) == text


@pytest.mark.parametrize("text", ["gitea", "a", "Nextcloud-2.0_x", "9" * 64])
def test_name_accepted(text):
    """A name consists of letters, digits and . _ -"""
    assert TypeAdapter(Name).validate_python(text) == text


@pytest.mark.parametrize(
    "text", ["", ".", "..", ".hidden", "-x", "a/b", "a b", "é", "9" * 65, "a\n"]
)
def test_name_refused(text):
    """Names that could leave a folder or hide in it are refused."""
    with pytest.raises(ValidationError, match="cannot be a folder's name"):
        TypeAdapter(Name).validate_python(text)
