"""Transcripts of commands and their output, for comparison with golden files."""

import fcntl
import os
import re
from pathlib import Path

from tests.helpers.command_line import packrat
from tests.helpers.house import House

SWAPS = (
    (r"\b\d{8}T\d{6}Z\b", "STAMP"),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d(:\d\d)?", "TIME"),
    (r"\b[0-9a-f]{16}\b", "KEYID"),
    (r"\b[0-9a-f]{8}\b", "ARCHIVE"),
    (r"process \d+", "process N"),
    (r"stored \S+ \S+ at", "stored N at"),
    (r"read \S+ \S+, stored", "read N, stored"),
    (r"ok, \S+ \S+ read", "ok, N read"),
    (r"\d+\.\d s\b", "N s"),
)


def seen(house: House, *words: str, cwd: Path | None = None, **env: str) -> str:
    """Run packrat without a terminal; return the command line, the output and the status."""
    surroundings = {"PACKRAT_CONFIG": str(house.config_file), "HOME": "/nonexistent"} | env
    done = packrat(*words, cwd=cwd or house.root, env=surroundings, together=True)
    text = done.stdout.replace(str(house.root), "ROOT")
    for pattern, word in SWAPS:
        text = re.sub(pattern, word, text)
    typed = " ".join(["$ packrat", *words]).replace(str(house.root), "ROOT")
    return f"{typed}\n{text}-> {done.returncode}\n"


def check_golden(file: Path, title: str, said: str) -> None:
    """Compare a text with its section of a golden file; a section begins with `## title`.

    With PACKRAT_REWRITE_GOLDEN=1 the section is replaced instead; review the difference.
    """
    said = said.rstrip("\n") + "\n"
    if os.environ.get("PACKRAT_REWRITE_GOLDEN"):
        with file.open("r+") as opened:
            fcntl.flock(opened, fcntl.LOCK_EX)
            sections = _sections(opened.read()) | {title: said}
            opened.seek(0)
            opened.truncate()
            opened.write("\n".join(f"## {name}\n{text}" for name, text in sections.items()))
        return
    assert said == _sections(file.read_text())[title]


def _sections(text: str) -> dict[str, str]:
    parts = re.split(r"^## (.*)\n", text, flags=re.MULTILINE)
    named = zip(parts[1::2], parts[2::2], strict=True)
    return {name: section.rstrip("\n") + "\n" for name, section in named}
