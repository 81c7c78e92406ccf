"""Prompt for the folder to restore to."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from packrat.picker.cells import fit, width
from packrat.picker.prompts import ask_text
from packrat.picker.screen import Navigation
from packrat.text.report import time_text
from stages.errors import TargetError
from stages.restore_target.resume import Marker
from stages.restore_target.target import Target

if TYPE_CHECKING:
    from vault.archive.format import Manifest


def absolute(folder: str) -> str:
    """Return the absolute path of a folder; nothing is the current one."""
    return os.path.abspath(os.path.expanduser(folder or "."))


def require_usable(target: str, service: str, archive: str, paths: tuple[str, ...]) -> None:
    """Raise TargetError unless a folder is new, empty, or holds this very restore, interrupted."""
    with Target(target, Marker(service, archive, paths)) as opened:
        opened.look()


def ask_folder(
    service: str, manifest: Manifest, paths: tuple[str, ...], proposed: str | None
) -> str | None:
    """Return the folder that the user types, which is empty or new; None to go back."""
    day = time_text(manifest.made)[:16].replace(" ", "-").replace(":", "")
    typed = proposed or os.path.join(os.getcwd(), f"{service}-{day}")
    said = "Which folder? It must be empty or new."
    while True:
        typed = ask_text(f"{said}\n ", typed)
        if typed is Navigation.BACK:
            return None
        target = absolute(typed)
        try:
            require_usable(target, service, manifest.id, paths)
        except TargetError as error:
            said = f"{fit(str(error), width() - 4).rstrip()}\n  Which folder instead?"
        else:
            return target
