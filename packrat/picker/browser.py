"""Screen for browsing a backup: select files and folders, open folders, filter by name."""

from __future__ import annotations

from bisect import bisect_right
from typing import TYPE_CHECKING, ClassVar

from packrat.picker.cells import fit, mtime_text, pieces
from packrat.picker.present import Present
from packrat.picker.screen import Answer, ListScreen
from packrat.picker.ticks import Ticks
from packrat.text.report import bytes_text, count_text
from vault.archive.format import REGULAR

if TYPE_CHECKING:
    from collections.abc import Mapping

    from packrat.picker.tree import Item, Tree

WIDE = 72
"""Columns from which on a row has room for the time of day."""
ELSEWHERE = "not in this backup; packrat find looks in all of them"
PATH_LINES = 3
"""Lines for the path under the pointer; a longer one is shortened."""


class Browser(ListScreen):
    """Position in the tree, and the selection so far.

    The answer is the path of a file whose versions are asked for, or True for a complete selection.
    """

    whole: ClassVar[bool] = True
    keys: ClassVar = (
        ("space select", "Space", "select or deselect a file or a folder"),
        ("d done", "d", "done: restore what is selected"),
        ("/ filter", "/", "filter while you type: part of a name, or a pattern like *.pdf"),
        ("enter open", "Enter or →", "open a folder; Enter selects a file"),
        ("a all", "a", "select or deselect everything shown"),
        ("v versions", "v", "show a file's versions in all backups"),
        ("", "←", "go up to the folder above"),
        ("", "changed, gone", "the file now differs, or is not there"),
    )

    def __init__(self, tree: Tree, title: str, present: Mapping[str, str]) -> None:
        """Browse at `tree`; `present` has the folders with the present files, by label."""
        super().__init__()
        self._tree, self._title = tree, title
        self._present = Present(present, self.redraw) if present else None
        self.ticks = Ticks(tree)
        self._folder = ""
        self._rows = tree.children("")

    def title(self, columns: int) -> list[str]:
        """Return the backup and the folder."""
        return [fit(text, columns).rstrip() for text in (self._title, f"in /{self._folder}")]

    def __len__(self) -> int:
        """Return the number of entries shown."""
        return len(self._rows)

    def row(self, number: int, columns: int) -> str:
        """Return an entry: tick, name, time, size, and whether it has changed since."""
        item = self._tree.item(self._rows[number])
        name = item.path[len(self._folder) + bool(self._folder) :] + "/" * item.folder
        length = 16 if columns >= WIDE else 10
        now = self._present.mark(item) if self._present else ""
        when = count_text(item.files, "file") if item.folder else mtime_text(item.mtime)[:length]
        tail = f"{when:>{length}} {bytes_text(item.size):>10}  {now:<7}"
        return f"[{self.ticks.mark(item.path)}] {fit(name, columns - 5 - len(tail))} {tail}"

    def below(self, columns: int) -> list[str]:
        """Return the whole path under the pointer, and the total of the selection."""
        item = self._pointed()
        path = f"/{item.path}" if item else ELSEWHERE * bool(self.filter)
        if len(lines := pieces(path, columns)) > PATH_LINES:
            lines = pieces(fit(path, PATH_LINES * columns), columns)
        total = f"{count_text(self.ticks.files, 'file')}, {bytes_text(self.ticks.size)} selected"
        total = total if self.ticks.paths else "nothing selected yet"
        return [*lines, fit(self.said or total, columns).rstrip()]

    def narrow(self) -> int:
        """Show what matches the filter, below the current folder; without one, the folder."""
        if self.filter:
            self._rows = self._tree.find(self.filter, self._folder)
            return 0
        pointed = self._pointed()
        self._rows = self._tree.children(self._folder)
        return self._place(self._tree.number(pointed.path)) if pointed else 0

    def press(self, key: str) -> Answer | None:
        """Handle the keys for folders, ticks and versions."""
        item = self._pointed()
        if key == "d":
            if self.ticks.paths:
                return Answer(value=True)
            self.said = "nothing is selected yet: press space on what is to be restored"
        elif key == "left":
            self._up()
        elif key == "a":
            self.ticks.toggle_all(self._rows)
        elif item is None:
            pass
        elif key == "v":
            if item.type in REGULAR:
                return Answer(item.path)  # its versions
            self.said = "only files have versions"
        elif key in ("right", "enter") and item.folder:
            self._open(item.path)
        elif key in (" ", "enter"):
            self.ticks.toggle(self._rows[self.at])
        return None

    def back(self) -> Answer | None:
        """Go up a folder; from the top, leave."""
        return None if self._up() else super().back()

    def _pointed(self) -> Item | None:
        return self._tree.item(self._rows[self.at]) if self._rows else None

    def _place(self, number: int) -> int:
        """Return the row of an entry, or of the folder that it is in."""
        return max(bisect_right(self._rows, number) - 1, 0)

    def _open(self, folder: str) -> None:
        self._folder, self.filter, self.at = folder, "", 0
        self._rows = self._tree.children(folder)

    def _up(self) -> bool:
        if left := self._folder:
            self._open(left.rpartition("/")[0])
            self.at = self._place(self._tree.number(left))
        return bool(left)
