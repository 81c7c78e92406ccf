"""Stage kinds of other packages: how they are found, and what they are allowed to do.

Such a kind works on what is read before it is cut into chunks, or watches what goes to a
destination. It passes on items of the type that it takes. What is stored therefore looks the same
with and without it, and neither a restore nor `rescue.py` needs the plugin.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.stage import FanOut, Link, Scope, Stage
from stages.items import Part, Piece, Place

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from importlib.metadata import EntryPoint

    from engine.graph import Graph, Node

GROUP = "packrat.stages"
"""Entry-point group that adds kinds."""
RESERVED = frozenset({"kind", "after", "before", "inverse", "releases"})
"""Keys of a stage in a document or a configuration that cannot be parameters."""
POSITIONS = "put it between source and chunk, or between spool and prune of a destination"


class UnusableKind(Exception):  # noqa: N818 (it is the kind that is wrong)
    """Error of a kind from another package that cannot be used; `hint` says what to do."""

    def __init__(self, entry: EntryPoint, why: str) -> None:
        package = entry.dist.name if entry.dist else entry.value
        super().__init__(f"stage kind {entry.name!r} of package {package} cannot be used: {why}")
        self.kind = entry.name
        self.hint = f"install a version of {package} that fits, or remove it"


def packages(built_in: Collection[str]) -> dict[str, EntryPoint]:
    """Return kind -> its entry point. A package cannot replace a built-in kind."""
    from importlib.metadata import entry_points  # takes 10 ms and is seldom needed

    return {e.name: e for e in entry_points(group=GROUP) if e.name not in built_in}


def load(entry: EntryPoint) -> type[Stage]:
    """Import the class behind an entry point and check it; raises UnusableKind."""
    try:
        kind = entry.load()
    except Exception as error:
        raise UnusableKind(entry, f"{type(error).__name__}: {error}") from error
    if why := refusal(kind, entry.name):
        raise UnusableKind(entry, why)
    found: type[Stage] = kind
    return found


def refusal(kind: object, name: str) -> str:
    """Return why a class cannot be a kind of this name; empty if it can."""
    if not (isinstance(kind, type) and issubclass(kind, Stage)):
        return "it is not a subclass of engine.stage.Stage"
    if getattr(kind, "kind", None) != name:
        return f"its `kind` is not {name!r}, the name of its entry point"
    if issubclass(kind, Scope | FanOut):
        return "a scope or a fan-out cannot be added"
    if not issubclass(kind, Link) and (kind.takes, kind.gives) != (Piece, Piece):
        return "it must be a Link, or take Piece and give Piece"
    if taken := RESERVED.intersection(kind.model_fields):
        return f"a parameter cannot be called {', '.join(sorted(taken))}"
    return ""


def misplaced(graph: Graph, built_in: Collection[str]) -> Iterator[str]:
    """Yield a fault for each stage of another package at a position where it is not allowed."""
    for name, node in graph.nodes.items():
        if node.stage.kind in built_in:
            continue
        items = _items(graph, name)
        if items not in (Piece, Part, Place):
            flows = f"{items.__name__} items flow" if items else "no items flow"
            yield f"{name}: a stage of another package cannot stand where {flows}; {POSITIONS}"


def _items(graph: Graph, name: str) -> type | None:
    """Return the type of the items that flow out of a node; links pass on what feeds them."""
    node: Node | None = graph.nodes[name]
    while node and isinstance(node.stage, Link):
        node = graph.feeder(node.name)
    if node is None:
        return None
    return node.stage.takes if node.reversed else node.stage.gives
