"""Value types of the configuration, each with its parser and its error messages."""

import contextlib
import os
import re
import warnings
from fractions import Fraction
from pathlib import PurePosixPath
from typing import Annotated, Any

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, WithJsonSchema
from pydantic_core import PydanticCustomError

_DURATION = re.compile(
    r"(?:([0-9]{1,6})d)? *(?:([0-9]{1,6})h)? *(?:([0-9]{1,6})m)? *(?:([0-9]{1,9})s?)?",
)
_DURATION_HINT = "write for example 90s, 30m, 2h, 1h30m or 1d"
_LONGEST = 10 * 365 * 86400  # a longer one is a typing error and may overflow

_SIZE = re.compile(r"([0-9]{1,15}(?:\.[0-9]{1,6})?) *(?:([kmgtp])(i?b)?|b)?", re.IGNORECASE)
_SIZE_HINT = (
    "write for example 256 MiB, 10GB or 4G (K, M and G count in 1024s, KB, MB and GB in 1000s)"
)

_CRON_WORDS = ("@hourly", "@daily", "@midnight", "@weekly", "@monthly", "@yearly", "@annually")
_CRON_FIELD = re.compile(r"[0-9a-z*,/#-]+", re.IGNORECASE)
_CRON_HINT = 'write five fields such as "0 2 * * *" (2 AM daily), or a word such as @daily'

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")


def refusal(message: str, hint: str = "") -> PydanticCustomError:
    """Return the error with which a validator refuses a value; the loader makes it a fault."""
    return PydanticCustomError("packrat", "{message}", {"message": message, "hint": hint})


def parse_duration(value: Any) -> int:
    """Parse ``1h30m`` to seconds; a bare whole number is in seconds.

    Raises:
        PydanticCustomError: It is not a duration, or longer than ten years.
    """
    text = _text(value).strip()
    match = _DURATION.fullmatch(text)
    if not match or not any(match.groups()):
        raise refusal(f"{_shown(value)} is not a duration", _DURATION_HINT)
    if match[4] and any(match.groups()[:3]) and not text.endswith("s"):
        raise refusal(f"{_shown(value)} ends in a number without a unit", _DURATION_HINT)
    days, hours, minutes, seconds = (int(part or 0) for part in match.groups())
    total = ((days * 24 + hours) * 60 + minutes) * 60 + seconds
    if total > _LONGEST:
        raise refusal(f"{_shown(value)} is longer than ten years", _DURATION_HINT)
    return total


def check_wait(seconds: int) -> int:
    """Accept any duration except zero.

    Raises:
        PydanticCustomError: It is zero.
    """
    if not seconds:
        raise refusal("is zero", _DURATION_HINT)
    return seconds


def parse_size(value: Any) -> int:
    """Parse ``256 MiB`` to bytes; a bare number is in bytes.

    Raises:
        PydanticCustomError: It is not a size.
    """
    match = _SIZE.fullmatch(_text(value).strip())
    if not match:
        raise refusal(f"{_shown(value)} is not a size", _SIZE_HINT)
    number, prefix, unit = match.groups("")
    base = 1000 if unit.lower() == "b" else 1024
    return int(Fraction(number) * base ** " kmgtp".index(prefix.lower() or " "))


def parse_rate(value: Any) -> int:
    """Parse ``20 MiB/s`` to bytes a second; the ``/s`` may be left out.

    Raises:
        PydanticCustomError: It is not a size, or zero.
    """
    rate = parse_size(_text(value).strip().removesuffix("/s"))
    if not rate:
        raise refusal("is zero", "write for example 20 MiB/s")
    return rate


def check_schedule(text: str) -> str:
    """Accept five cron fields or a word such as ``@daily``, and keep the text.

    Raises:
        PydanticCustomError: It is not a schedule, or never comes due.
    """
    from croniter import CroniterBadDateError, CroniterError, croniter

    fields = text.split()
    # croniter also accepts seconds, years and random fields, which cron(8) does not.
    plain = len(fields) == 5 and all(map(_CRON_FIELD.fullmatch, fields))  # noqa: PLR2004
    if not (plain and "r" not in re.split(r"[^a-z]+", text.lower())) and text not in _CRON_WORDS:
        raise refusal(f"{_shown(text)} is not a schedule", _CRON_HINT)
    try:
        croniter(text, 0.0).get_next()
    except CroniterBadDateError:
        raise refusal(f"{_shown(text)} is a day that never comes", _CRON_HINT) from None
    except (CroniterError, ValueError, OverflowError):
        raise refusal(f"{_shown(text)} is not a schedule", _CRON_HINT) from None
    return text


def check_pattern(text: str) -> str:
    """Accept one gitignore pattern that can match something, and keep the text.

    Raises:
        PydanticCustomError: It cannot be parsed, or could never match.
    """
    from pathspec import GitIgnoreSpec

    if text.lstrip("!").startswith(("./", "../", "~/")):
        raise refusal(
            f"{_shown(text)} matches nothing",
            "patterns are relative to the service's path, and / at the start is its top",
        )
    # pathspec misreads POSIX classes, and a later `re` will misread what it warns about.
    if "\n" not in text and not ("[:" in text and ":]" in text):
        with warnings.catch_warnings(), contextlib.suppress(ValueError, re.error, FutureWarning):
            warnings.simplefilter("error")
            if any(line.include is not None for line in GitIgnoreSpec.from_lines([text]).patterns):
                return text
    raise refusal(
        f"{_shown(text)} is not a pattern",
        "write one line of gitignore, such as **/*.log or /cache/",
    )


def is_name(text: str) -> bool:
    """Return whether a text is a valid name of a service or a destination."""
    return bool(_NAME.fullmatch(text))


def check_name(text: str) -> str:
    """Accept a name that is a valid folder name on every system.

    Raises:
        PydanticCustomError: It is not valid.
    """
    if not is_name(text):
        raise refusal(
            f"{_shown(text)} cannot be a folder's name",
            "use at most 64 letters, digits, '.', '_' and '-', and begin with a letter or digit",
        )
    return text


def check_container(text: str) -> str:
    """Accept the name or the id of a container.

    Raises:
        PydanticCustomError: Docker would refuse it.
    """
    if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9_.-]*", text):
        raise refusal("not a container's name", "write it as `docker ps` shows it")
    return text


def local_path(text: str, info: ValidationInfo) -> str:
    """Return a local path as an absolute one; a relative path starts at the configuration.

    Raises:
        PydanticCustomError: It is empty, or in the home of an unknown user.
    """
    return absolute(text, folder_of(info))


def absolute(path: str, folder: str) -> str:
    """Expand ``~`` and make a path absolute; a relative one starts at `folder`.

    An empty `folder` is the working folder.

    Raises:
        PydanticCustomError: It is empty, or in the home of an unknown user.
    """
    home = os.path.expanduser(path)
    if not home or home.startswith("~"):
        raise refusal(
            f"{_shown(path)} is not a path", "write for example /var/lib/gitea or ~/gitea"
        )
    # Not normpath: the parent of `link/..` is not the folder that holds the link.
    return str(PurePosixPath(os.getcwd(), folder, home))


def folder_of(info: ValidationInfo) -> str:
    """Return the folder of the configuration that is being validated."""
    return str((info.context or {}).get("folder", ""))


def _text(value: Any) -> str:
    return "" if isinstance(value, bool) or value is None else str(value)


def _shown(value: Any) -> str:
    text = str(value)
    return f"'{text if len(text) <= 40 else text[:39] + '…'}'"  # noqa: PLR2004


Duration = Annotated[
    int,
    BeforeValidator(parse_duration),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["30m", "2h", "1h30m"]}),
]
"""Whole seconds, written ``90s``, ``30m``, ``1h30m``, ``1d`` or as a bare number of seconds."""

Wait = Annotated[Duration, AfterValidator(check_wait)]
"""A duration that is not zero."""

Size = Annotated[
    int,
    BeforeValidator(parse_size),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["256 MiB", "10GB"]}),
]
"""Bytes, written ``256 MiB``, ``10GB``, ``4G`` or as a bare number of bytes."""

Rate = Annotated[
    int,
    BeforeValidator(parse_rate),
    WithJsonSchema({"type": ["string", "integer"], "examples": ["20 MiB/s"]}),
]
"""Bytes a second, written ``20 MiB/s``."""

Schedule = Annotated[str, AfterValidator(check_schedule), Field(examples=["0 2 * * *", "@daily"])]
"""Five cron fields, or a word such as ``@daily``."""

Pattern = Annotated[str, AfterValidator(check_pattern), Field(examples=["**/*.log", "/cache/"])]
"""One gitignore pattern, relative to the service's path."""

Container = Annotated[str, AfterValidator(check_container), Field(examples=["gitea"])]
"""Name or id of a container."""

Name = Annotated[str, AfterValidator(check_name), Field(examples=["gitea"])]
"""The name of a service or a destination, which is also the name of a folder."""

LocalPath = Annotated[str, AfterValidator(local_path), Field(examples=["/var/lib/gitea"])]
"""A path of this machine; absolute once it is loaded."""
