"""Preview of a restore: paths, disk space, downtime and download."""

from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING

from prompt_toolkit.utils import get_cwidth

from packrat.picker.prompts import fit, height, width
from packrat.runs.room import forgettable_text
from packrat.text.report import bytes_text, count_text, time_text, when_text
from specs.faults import printable
from stages.errors import SourceError
from stages.in_place.folder import PREFIX
from stages.in_place.survey import mounts_in
from stages.restore_target.selection import Selection
from stages.restore_target.target import existing
from stages.select import require_found
from vault.errors import Damaged, NotThere

if TYPE_CHECKING:
    from collections.abc import Sequence

    from packrat.restore.opened import OpenedBackup
    from specs.service import Service

PATIENCE_SECONDS = 5
"""Seconds for an answer of the Docker engine."""
SHOWN = 6
"""Paths that are listed one by one."""


class Preview:
    """Preview of one restore, with counts of what it needs."""

    def __init__(
        self, opened: OpenedBackup, paths: Sequence[str], service: Service, state_dir: str
    ) -> None:
        """Read the index of the selection; raises VaultError, also if a path is not there."""
        self._opened = opened
        self._paths = paths
        self._service = service
        self._state_dir = state_dir
        self.files = self.size = 0
        selection = Selection(paths)
        frames: set[tuple[str, int]] = set()
        found: set[str | None] = set()
        for entry in opened.entries(paths):
            if selection.covers(entry.name):
                found.add(selection.of(entry.name))
                self.files += entry.type != "dir"
                self.size += entry.size
                frames |= {(chunk[1], chunk[2]) for chunk in opened.chunks(entry)}
        require_found(opened.service, opened.name, paths, found)
        self.lacks_room = False
        """The target has too little free space, as far as is known yet."""
        self.download = 0
        self.damaged: set[str] = set()
        """Archives that cannot be opened; the files that need them are lost."""
        for archive, number in frames:
            try:
                self.download += opened.replicas.archive(archive, lambda: None).position(number)[1]
            except (Damaged, NotThere):
                self.damaged.add(opened.replicas.name(archive))

    def to_folder(self, target: str) -> list[str]:
        """Return the lines of the preview of a restore to a folder."""
        there = os.path.isdir(target) and bool(os.listdir(target))
        state = "continues an earlier restore" if there else "a new folder"
        return self._lines(
            ("to", target),
            ("", state),
            ("room", self._room(target)),
            ("changed", "only that folder"),
            ("stopped", "nothing"),
        )

    def in_place(self) -> list[str]:
        """Return the lines of the preview of a restore in place."""
        folders = self._folders()
        several = len(folders) > 1
        mounts = [os.path.join(top * several, at) for top in folders for at in mounts_in(top)]
        stopped = ", ".join(self._service.stopped)
        after = self._service.post_restore
        return self._lines(
            *(("" if at else "to", name) for at, name in enumerate(self._service.reads.named)),
            ("", "in place; excluded files stay untouched"),
            *(
                ("" if n else "aside", f"{at}/{PREFIX}…: what is there now")
                for n, at in enumerate(folders)
            ),
            *(("not", f"{at}: another filesystem is mounted there") for at in mounts),
            *(("room", self._room(at)) for at in folders[:1]),
            ("stopped", f"{stopped}, for seconds, and started again" if stopped else "nothing"),
            *([("then", after.command.splitlines()[0])] if after else []),
            ("way back", f"packrat restore --undo {self._opened.service}"),
        )

    def _folders(self) -> Sequence[str]:
        """Return the folders that are exchanged, as far as they are known now."""
        try:
            return self._service.reads.resolve(PATIENCE_SECONDS).folders
        except SourceError:  # the restore reports it
            return self._service.folders

    def _room(self, folder: str) -> str:
        free = shutil.disk_usage(existing(folder)).free
        self.lacks_room = self.size > free
        room = f"{bytes_text(self.size)} needed, {bytes_text(free)} free"
        if not self.lacks_room:
            return room
        text = forgettable_text(self._state_dir, [folder])
        return f"{room}: NOT ENOUGH SPACE" + f"; {text}" * bool(text)

    def _lines(self, *more: tuple[str, str]) -> list[str]:
        manifest, source = self._opened.manifest, self._opened.source
        made = f"{when_text(manifest.made)}, {time_text(manifest.made)} ({manifest.id[:8]})"
        files = f"{count_text(self.files, 'file')}, {bytes_text(self.size)}"
        rows = [("service", self._opened.service), ("backup", made)]
        rows.append(("what", files if self._paths else f"everything: {files}"))
        end = [
            *more,
            ("download", f"{bytes_text(self.download)} from {source}"),
            *(("DAMAGED", f"{name}: files in it are LOST") for name in sorted(self.damaged)),
        ]
        last = [line for name, text in end for line in _wrapped(name, text)]
        # The plan, the question and its three answers must fit the screen.
        room = height() - len(rows) - len(last) - 6
        shown = self._paths[: max(1, min(SHOWN, room - 1))]
        paths = [("", path) for path in shown]
        if left := len(self._paths) - len(shown):
            paths.append(("", f"and {left:,} more"))
        lines = [f"{name:<10}{fit(text, _text_width()).rstrip()}" for name, text in rows + paths]
        return ["The plan", *lines, *last]


def _text_width() -> int:
    return width() - 4 - 10


def _wrapped(name: str, text: str) -> list[str]:
    """Return a text on as many lines as it needs, so that paths are shown in full."""
    text, lines = printable(text), []
    while True:
        piece = text[: _text_width()]
        while get_cwidth(piece) > _text_width():
            piece = piece[:-1]
        lines.append(f"{name:<10}{piece}")
        name, text = "", text[len(piece) :]
        if not text:
            return lines
