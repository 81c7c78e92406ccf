"""Location of the frames that a restore needs."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Stage
from stages.items import Place
from stages.replicas import Replicas
from stages.restore_target.layout import Layout
from vault.errors import Damaged, NotThere

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run


class Locate(Stage):
    """Head of the chain that writes."""

    kind: ClassVar[str] = "locate"
    gives: ClassVar[type | None] = Place
    needs: ClassVar[tuple[type, ...]] = (Layout, Replicas)

    def forward(self, _: Iterator[Any], run: Run) -> Iterator[Place]:
        """Yield each required frame once, in the order of the archives."""
        layout, replicas = run.fact(Layout), run.fact(Replicas)
        needed: defaultdict[str, list[int]] = defaultdict(list)
        for archive_id, number in layout.frames(replicas.name):
            needed[archive_id].append(number)
        for archive_id in replicas.opened(needed, run.check):
            for number in needed[archive_id]:
                try:
                    offset, length = replicas.archive(archive_id, run.check).position(number)
                except (Damaged, NotThere) as error:
                    layout.lose(archive_id, number, error)
                    continue
                yield Place(archive_id, offset, length, number)

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return what is located."""
        return "each frame that is needed, in the order of the archives"
