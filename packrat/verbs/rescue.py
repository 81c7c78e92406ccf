"""`packrat rescue`: the program that restores without packrat."""

from __future__ import annotations

from packrat.text.shipped import shipped


def print_rescue() -> None:
    """Print rescue.py, to be kept beside the backups."""
    print(shipped("rescue.py").read_text("utf-8"), end="")
