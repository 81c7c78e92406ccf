"""Select: where a restore begins. Turns what was asked for into places to fetch."""

from __future__ import annotations

from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from typing import TYPE_CHECKING, Any, ClassVar

from engine.libc import give_back_memory
from engine.parallel import in_order
from engine.stage import Stage
from stages.items import Place
from stages.restore_target.selection import Wanted
from vault.archive.index import blocks_of, read_entries
from vault.errors import Damaged, NotThere, VaultError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator, Sequence

    from engine.run import Run
    from stages.restore_target.layout import Layout
    from stages.session import RestoreSession

OPENED_AT_ONCE = 8
"""Archives; each waits for a few reads."""


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
        give_back_memory()
        wanted: defaultdict[str, list[int]] = defaultdict(list)
        for archive_id, number in layout.frames(session.copies.name):
            wanted[archive_id].append(number)
        for archive_id in _opened(wanted, run):
            for number in wanted[archive_id]:
                try:
                    offset, length = session.copies.archive(archive_id).place(number)
                except (Damaged, NotThere) as error:
                    session.lose(archive_id, number, error)
                    continue
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
        for _ in _opened((block.chunk[1] for block in index), run):
            run.check()
        wanted = Wanted(self.paths)
        found: set[str | None] = set()
        with closing(session.standing()) as standing:
            for entry in read_entries(index, session.fetch, backup.where):
                name = entry.name
                if (path := wanted.of(name)) is not None:
                    stands = layout.is_first(entry) and standing.has(entry)
                    layout.add(entry, stands=stands)
                    run.advance(1, entry.size)
                    found.add(path)
                elif name in wanted.above and entry.type == "dir":
                    layout.add(entry)
                run.check()
            session.files, session.size = standing.files, standing.size
        require_found(session, self.paths, found)


def _opened(archives: Iterable[str], run: Run[RestoreSession]) -> Iterator[str]:
    """Give each archive once it is open, some ahead: a backup after sixty others refers to all.

    What cannot be opened is given, too, and asked for again, frame by frame.
    """

    def attempt(archive_id: str) -> str:
        with suppress(VaultError):
            run.context.copies.archive(archive_id)
        return archive_id

    with ThreadPoolExecutor(OPENED_AT_ONCE) as threads:
        yield from in_order(threads, attempt, dict.fromkeys(archives), OPENED_AT_ONCE)


def require_found(
    session: RestoreSession, paths: Sequence[str], found: Collection[str | None]
) -> None:
    """Raise NotThere when the backup has nothing at some of the paths."""
    if absent := [path for path in paths if path not in found]:
        raise NotThere(
            f"{session.backup.name} has no {', '.join(map(repr, absent))}",
            f"packrat ls {session.service} shows what it has",
        )
