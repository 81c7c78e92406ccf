"""Preview of a restore: paths, disk space, downtime, and what is read from where."""

from __future__ import annotations

import os
import shutil
from itertools import zip_longest
from typing import TYPE_CHECKING

from packrat.picker.cells import fit, height, pieces, width
from packrat.restore.target_roots import selected
from packrat.runs.room import forgettable_text
from packrat.text.report import bytes_text, count_text, time_text, when_text
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
    from specs.config import Config

PATIENCE_SECONDS = 5
"""Seconds for an answer of the Docker engine."""
SHOWN = 6
"""Paths that are listed one by one."""
INDENT = 4 + 10
"""Columns of the margins, and of the names of the rows."""
MORE = "more than was chosen: a backup stores several files in one piece"


class Preview:
    """Preview of one restore, with counts of what it needs."""

    def __init__(self, opened: OpenedBackup, paths: Sequence[str], config: Config) -> None:
        """Read the index of the selection; raises VaultError, also if a path is not there."""
        near = config.destinations()[opened.source].distance == 0
        self._verb = "read" if near else "download"
        self._opened = opened
        self._paths = paths
        self._service = config.services[opened.service]
        self._state_dir = config.state_dir
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
        folders, names = self._exchanged()
        several = len(folders) > 1
        mounts = [os.path.join(top * several, at) for top in folders for at in mounts_in(top)]
        where = "each of them" if several else "".join(folders)
        stopped = ", ".join(self._service.stopped)
        after, databases = self._service.post_restore, self._service.databases
        return self._lines(
            *(("" if at else "to", name) for at, name in enumerate(names)),
            ("", "in place; excluded files stay untouched"),
            ("aside", f"{where}/{PREFIX}…: what is there now"),
            *(("not", f"{at}: another filesystem is mounted there") for at in mounts),
            *(("room", self._room(at)) for at in folders[:1]),
            ("stopped", f"{stopped}, for seconds, and started again" if stopped else "nothing"),
            *([("load", "databases, after a dump of what is there now")] if databases else []),
            *([("then", after.command.splitlines()[0])] if after else []),
            ("way back", f"packrat restore --undo {self._opened.service}"),
        )

    def _exchanged(self) -> tuple[Sequence[str], Sequence[str]]:
        """Return the folders that are exchanged, as far as they are known now, and all names."""
        reads = self._service.reads
        try:
            roots = reads.resolve(PATIENCE_SECONDS)
        except SourceError:  # the restore reports it
            return self._service.folders, reads.named
        labels = {root.label for root in selected(self._opened.manifest.roots, self._paths)}
        some = [root for root in roots.roots if root.label in labels]
        if not (self._paths and some):
            return roots.folders, reads.named
        folders = [root.folder for root in some if root.folder]
        return folders, [root.folder or root.source for root in some]

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
        begin = [("service", self._opened.service), ("backup", made)]
        begin.append(("what", files if self._paths else f"everything: {files}"))
        end = [
            *more,
            (self._verb, f"{bytes_text(self.download)} from {source}"),
            *([("", MORE)] if self.download > self.size else []),
            *(("DAMAGED", f"{name}: files in it are LOST") for name in sorted(self.damaged)),
        ]
        rows, last = ([line for row in part for line in _wrapped(*row)] for part in (begin, end))
        # The plan, the question, its three answers and the keys must fit the screen.
        room = height() - len(rows) - len(last) - 8
        shown = self._paths[: max(1, min(SHOWN, room - 1))]
        paths = [("", path) for path in shown]
        if left := len(self._paths) - len(shown):
            paths.append(("", f"and {left:,} more"))
        lines = [f"{name:<10}{fit(text, width() - INDENT).rstrip()}" for name, text in paths]
        return [*rows, *lines, *last]


def _wrapped(name: str, text: str) -> list[str]:
    """Return the lines of a text, with the name in front of the first one."""
    lines = pieces(text, width() - INDENT)
    return [f"{label:<10}{line}" for label, line in zip_longest([name], lines, fillvalue="")]
