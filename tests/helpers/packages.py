"""Packages that add stage kinds, as `pip install` puts them on the path."""

import itertools
from pathlib import Path
from textwrap import dedent

HEAD = """
from typing import ClassVar
from pydantic import Field
from engine.stage import FanOut, Link, Scope, Stage
from stages.errors import SourceError
from stages.items import Piece, Segment
"""
WATCH = """
class VirusScan(Link):
    kind: ClassVar[str] = "virus_scan"
    backwards: ClassVar[str] = "scan_again"
    level: int = Field(1, ge=1, le=9)

    def forward(self, items, run):
        for item in items:
            run.advance(1)
            yield item

    inverse = forward
"""
"""Source of a kind that is valid at every allowed position."""
_numbers = itertools.count()


def install(folder: Path, source: str, *kinds: str) -> None:
    """Write a package to a folder of the path; `my_kind` is the class MyKind."""
    module = f"added_{next(_numbers)}"
    (folder / f"{module}.py").write_text(HEAD + dedent(source))
    info = folder / f"{module}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n")
    lines = [f"{kind} = {module}:{kind.title().replace('_', '')}" for kind in kinds]
    (info / "entry_points.txt").write_text("\n".join(["[packrat.stages]", *lines, ""]))
