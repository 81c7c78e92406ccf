"""Screens for browsing a backup: tick files and folders, open folders, search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat.picker.prompts import Line, Navigation, Ticked, ask_text, fit, pick, width
from packrat.picker.tree import covers
from packrat.text.report import bytes_text, count_text

if TYPE_CHECKING:
    from packrat.picker.tree import Item, Tree

PAGE = 100
"""Entries on one scrolling screen: enough to browse, few enough to draw at once."""
HINT = "(space ticks, enter opens, d done, s search, esc back)"
DONE, SEARCH, MORE, LESS = "done", "search", "more", "less"
KEYS = {"d": (DONE,), "s": (SEARCH,)}
"""Letters for the lines at the top, which scroll out of view in a long list."""


class Browser:
    """Position of the user in the tree, and the selection so far."""

    def __init__(self, tree: Tree, title: str, ticked: dict[str, None]) -> None:
        self._tree = tree
        self._title = title
        self._ticked = ticked
        self._folder = ""
        self._first = 0
        """The number of the first entry shown; a large folder has several pages."""

    def run(self) -> bool:
        """Let the user browse; return whether they are done, rather than going back."""
        at: Any = None
        while True:
            answer = self._screen(at)
            at = None
            if isinstance(answer, Ticked):
                at = answer.value
                self._toggle(answer.value)
            elif answer is Navigation.BACK:
                if not self._folder:
                    return False
                at, (self._folder, self._first) = self._folder, self._page_above()
            elif answer == (DONE,):
                if self._ticked:
                    return True
            elif answer == (SEARCH,):
                self._search()
            elif answer in ((MORE,), (LESS,)):
                self._first += PAGE if answer == (MORE,) else -PAGE
            elif isinstance(answer, str):
                at = self._enter(answer)

    def _screen(self, at: Any) -> Any:
        children = self._tree.children(self._folder, self._first, PAGE + 1)
        more = len(children) > PAGE
        lines = [self._done_line(), Line("search by name …", (SEARCH,))]
        above = f"← up to /{self._folder.rpartition('/')[0]}" if self._folder else "← back"
        lines.append(Line(above, Navigation.BACK))
        if self._first or more:
            last = self._first + len(children[:PAGE])
            count = self._tree.count(self._folder)
            lines.append(Line(f"── {self._first + 1:,} to {last:,} of {count:,}"))
        if self._first:
            lines.append(Line(f"… the {PAGE} before", (LESS,)))
        lines += [self._line(child, child.path.rpartition("/")[2]) for child in children[:PAGE]]
        if more:
            lines.append(Line(f"… the next {PAGE}", (MORE,)))
        folder = fit(f"/{self._folder}", width() - 4).rstrip()
        title = f"{fit(self._title, width() - len(HINT) - 4).rstrip()} {HINT}\n  {folder}"
        if at is None and children and (self._folder or not self._ticked):
            at = children[0].path  # the pointer starts at the folder's content
        return pick(title, lines, at=at, hint=" ", ticks=True, keys=KEYS)

    def _done_line(self) -> Line:
        if not self._ticked:
            return Line("nothing selected yet")
        files, size = self._tree.total(self._ticked)
        return Line(f"done: {count_text(files, 'file')}, {bytes_text(size)} ticked", (DONE,))

    def _line(self, item: Item, name: str) -> Line:
        mark = "x" if covers(self._ticked, item.path) else " "
        if item.folder and any(one.startswith(item.path + "/") for one in self._ticked):
            mark = "-"  # something in it is ticked
        count = count_text(item.files, "file") if item.folder else ""
        tail = f"{count:>15} {bytes_text(item.size):>10}"
        name = fit(name + "/" * item.folder, width() - 4 - 4 - len(tail) - 1)
        return Line(f"[{mark}] {name} {tail}", item.path)

    def _enter(self, path: str) -> str | None:
        """Open a folder or tick a file; return the position of the pointer."""
        if self._tree.item(path).folder:
            self._folder, self._first = path, 0
            return None
        self._toggle(path)
        return path

    def _toggle(self, path: Any) -> None:
        """Tick a path, or remove the tick that covers it; ticks below a ticked folder go."""
        if not isinstance(path, str):
            return
        if above := covers(self._ticked, path):
            del self._ticked[above]
            return
        for below in [one for one in self._ticked if one.startswith(path + "/")]:
            del self._ticked[below]
        self._ticked[path] = None

    def _search(self) -> None:
        said = "Search for names that contain:"
        while True:
            part = ask_text(said)
            if part is Navigation.BACK or not part:
                return
            at: Any = None
            while True:
                found, count = self._tree.find(part, PAGE)
                if not count:
                    said = f"No name contains {part!r}. Search for:"
                    break
                note = f", {PAGE} of them shown" if count > PAGE else ""
                lines = [Line("← back to the folders", Navigation.BACK)]
                lines += [self._line(item, item.path) for item in found]
                title = f"{count:,} found{note}: {fit(part, 40).rstrip()}"
                answer = pick(
                    title,
                    lines,
                    at=at or found[0].path,
                    hint="(space ticks, esc goes back)",
                    ticks=True,
                )
                if answer is Navigation.BACK:
                    return
                at = answer.value if isinstance(answer, Ticked) else answer
                self._toggle(at)

    def _page_above(self) -> tuple[str, int]:
        number = self._tree.number(self._folder)
        return self._folder.rpartition("/")[0], number - number % PAGE


def browse(tree: Tree, title: str, ticked: dict[str, None]) -> bool:
    """Let the user tick files and folders in `ticked`; return whether they are done."""
    return Browser(tree, title, ticked).run()
