"""Select: where a restore begins. Turns what was asked for into places to fetch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Stage
from stages.items import Place
from vault.errors import NotThere
from vault.index import blocks_of, read_entries, selected

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run
    from stages.layout import Layout
    from stages.session import RestoreSession


class Select(Stage):
    """Reads the index of one backup and lays out what is wanted of it."""

    kind: ClassVar[str] = "select"
    gives: ClassVar[type | None] = Place

    paths: tuple[str, ...] = ()
    """What to restore, with all that is below; everything when empty."""

    def forward(self, _: Iterator[Any], run: Run[RestoreSession]) -> Iterator[Place]:
        """Give each frame that is needed, once, in the order of the archives.

        Raises NotThere when a path is not in the backup.
        """
        session = run.context
        layout = session.layout
        self._lay_out(layout, run)
        for archive_id, number in layout.frames(lambda id_: session.archive(id_).name):
            offset, length = session.archive(archive_id).place(number)
            yield Place(archive_id, offset, length, number)

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Say what is selected."""
        return ", ".join(self.paths) or "everything"

    def _lay_out(self, layout: Layout, run: Run[RestoreSession]) -> None:
        session = run.context
        backup = session.backup
        index = (
            blocks_of(backup.manifest.index, self.paths) if self.paths else backup.manifest.index
        )
        above = {path[:at] for path in self.paths for at, c in enumerate(path) if c == "/"} | {""}
        found: set[str] = set()
        for entry in read_entries(index, session.fetch, backup.where):
            name = entry.name
            if selected(name, self.paths):
                layout.add(entry)
                run.advance(1, entry.size)
                found |= {path for path in self.paths if selected(name, [path])}
            elif name in above and entry.type == "dir":
                layout.add(entry)
        if absent := [path for path in self.paths if path not in found]:
            raise NotThere(
                f"{backup.name} has no {', '.join(map(repr, absent))}",
                f"packrat ls {session.service} shows what it has",
            )
