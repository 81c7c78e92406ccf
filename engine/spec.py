"""Nodes of a graph, read from a document. Every fault is noted, and none causes another.

A document is plain data: name -> {kind, after: [names], parameters…}. `inverse: true` marks a stage
that runs backwards. The second node of a scope says `releases: NAME` instead of a kind.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct
from pydantic import ValidationError

from engine.stage import Scope, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Node(Struct, frozen=True):
    """A stage and its position in the graph."""

    name: str
    stage: Stage
    releases: str | None = None
    """The node whose scope this one releases."""
    reversed: bool = False

    @property
    def label(self) -> str:
        """Name in a plan: that of the node, or of its inverse."""
        _, colon, which = self.name.partition(":")
        backwards = self.stage.backwards if self.reversed else ""
        return f"{backwards}{colon}{which}" if backwards else self.name

    @property
    def does(self) -> str:
        """Short description of what it does."""
        if self.releases and isinstance(self.stage, Scope):
            return self.stage.describe_release()
        return self.stage.describe(backwards=self.reversed)

    @property
    def needs(self) -> tuple[type, ...]:
        """Types of the facts and resources that it cannot run without."""
        return self.stage.inverse_needs if self.reversed else self.stage.needs

    @property
    def uses(self) -> tuple[Any, ...]:
        """Defaults of the facts that it can run without."""
        return self.stage.inverse_uses if self.reversed else self.stage.uses

    @property
    def provides(self) -> tuple[type, ...]:
        """Types of the facts and resources that it provides."""
        if isinstance(self.stage, Scope) and self.releases:
            return self.stage.release_provides
        return self.stage.inverse_provides if self.reversed else self.stage.provides

    def document(self, after: Iterable[str]) -> dict[str, Any]:
        """Return its entry in a document, coming after other nodes."""
        order = {"after": list(after)} if after else {}
        if self.releases:
            return {"releases": self.releases} | order
        params = self.stage.model_dump(mode="json", exclude_defaults=True)
        direction = {"inverse": True} if self.reversed else {}
        return {"kind": self.stage.kind} | direction | params | order


class Unknown(Stage):
    """Stand-in where the document names no valid stage; its ports are not checked."""

    kind: ClassVar[str] = "unknown"


class Missing(Unknown):
    """Stand-in for a stage that others come after and the document does not have."""

    kind: ClassVar[str] = "missing"


class Reading:
    """Nodes and edges of a document, with a stand-in for each that is wrong."""

    def __init__(self, spec: Mapping[str, Any], kinds: Iterable[type[Stage]]) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: list[tuple[str, str]] = []
        self.faults: list[str] = []
        self._kinds = {kind.kind: kind for kind in kinds}
        for name, given in spec.items():
            params = dict(given) if isinstance(given, dict) else {}
            self.edges += [(other, name) for other in self._after(name, params.pop("after", []))]
            self.nodes[name] = self._node(name, given, params, spec)
        for other, name in self.edges:
            if other not in spec:
                what = f"comes after {other!r}, which is not a stage of this pipeline"
                self.faults.append(f"{name}: {what}")
                self.nodes[other] = Node(other, Missing())

    def _after(self, name: str, given: Any) -> list[str]:
        if isinstance(given, list) and all(isinstance(other, str) for other in given):
            return given
        self.faults.append(f"{name}.after: must be a list of stage names, for example [collect]")
        return [given] if isinstance(given, str) else []

    def _node(self, name: str, given: Any, params: dict[str, Any], spec: Mapping[str, Any]) -> Node:
        if not isinstance(given, dict):
            self.faults.append(f"{name}: is not a stage; write {{kind: KIND, after: [NAME]}}")
            return Node(name, Unknown())
        if (releases := params.pop("releases", None)) is not None:
            return self._release(name, params, releases, spec)
        backwards, stage = params.pop("inverse", False), self._stage(name, params)
        known = isinstance(backwards, bool) and (not backwards or stage.inverse is not None)
        if not known and not isinstance(stage, Unknown):
            self.faults.append(f"{name}.inverse: {stage.kind} has no inverse, or this is not true")
        return Node(name, stage, reversed=known and backwards)

    def _stage(self, name: str, params: dict[str, Any]) -> Stage:
        kind = params.pop("kind", None)
        if not isinstance(kind, str) or kind not in self._kinds:
            what = "has no kind" if kind is None else f"unknown stage kind {kind!r}"
            self.faults.append(f"{name}: {what}; known kinds: {', '.join(sorted(self._kinds))}")
            return Unknown()
        try:
            return self._kinds[kind].model_validate(params)
        except ValidationError as error:
            self.faults += [
                f"{'.'.join([name, *map(str, fault['loc'])])}: {fault['msg']}"
                for fault in error.errors(include_url=False)
            ]
            return self._kinds[kind].model_construct()

    def _release(
        self, name: str, params: dict[str, Any], releases: Any, spec: Mapping[str, Any]
    ) -> Node:
        """Return the node that releases a scope; its faults are reported where the scope begins."""
        held = spec.get(releases) if isinstance(releases, str) else None
        given = {k: v for k, v in held.items() if k != "after"} if isinstance(held, dict) else {}
        kind, backwards = given.pop("kind", None), given.pop("inverse", False) is True
        scope = self._kinds.get(kind) if isinstance(kind, str) else None
        if scope is None or not issubclass(scope, Scope):
            self.faults.append(f"{name}: releases {releases!r}, which is not a scope")
            return Node(name, Unknown())
        if params:
            self.faults.append(
                f"{name}: only releases {releases!r}, which has the parameters;"
                f" leave out {', '.join(map(str, params))}"
            )
        try:
            stage: Stage = scope.model_validate(given)
        except ValidationError:
            stage = scope.model_construct()
        return Node(name, stage, releases, backwards)
