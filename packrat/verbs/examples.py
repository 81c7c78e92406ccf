"""`packrat examples`: the example configurations that come with the program."""

from __future__ import annotations

import itertools
import re

from packrat.errors import UsageError
from packrat.text.report import say
from packrat.text.shipped import shipped


def show_examples(name: str | None) -> None:
    """Print one example, or a line about each."""
    files = {file.stem: file for file in sorted(shipped("examples").glob("*.yaml"))}
    if name is None:
        for stem, file in files.items():
            say(f"{stem:<16}{_first_sentence(file.read_text('utf-8'))}".rstrip())
        return
    if name not in files:
        raise UsageError(f"there is no example {name!r}; there are: {', '.join(files)}")
    print(files[name].read_text("utf-8"), end="")


def _first_sentence(text: str) -> str:
    comment = itertools.takewhile(lambda line: line.startswith("#"), text.splitlines())
    return re.split(r"[.:](?: |$)", " ".join(line.strip("# ") for line in comment))[0]
