"""The nodes of a graph, read from a spec: every fault is noted, and none leads to another."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from msgspec import Struct
from pydantic import ValidationError

from engine.stage import Scope, Stage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


class Node(Struct, frozen=True):
    """A stage at its place in the graph."""

    name: str
    stage: Stage
    releases: str | None = None
    """The node whose scope this one releases."""
    reversed: bool = False

    @property
    def label(self) -> str:
        """What a plan calls it: its name, or what it is called on the way back."""
        _, colon, which = self.name.partition(":")
        backwards = self.stage.backwards if self.reversed else ""
        return f"{backwards}{colon}{which}" if backwards else self.name

    @property
    def does(self) -> str:
        """What it does, in a few words."""
        if self.releases and isinstance(self.stage, Scope):
            return self.stage.describe_release()
        return self.stage.describe(backwards=self.reversed)

    @property
    def takes(self) -> type | None:
        """The item type that flows in."""
        return self.stage.gives if self.reversed else self.stage.takes

    @property
    def may_begin(self) -> bool:
        """Whether what it takes need not come; on the way back every chain has its source."""
        return self.stage.may_begin and not self.reversed

    @property
    def gives(self) -> type | None:
        """The item type that flows out."""
        return self.stage.takes if self.reversed else self.stage.gives


class Unknown(Stage):
    """Stands where a spec does not say what stands; what it takes and gives is not judged."""

    kind: ClassVar[str] = "unknown"


class Reading:
    """The nodes and edges that a spec names; where one is wrong, the nearest to it stands in."""

    def __init__(self, spec: Mapping[str, Any], kinds: Iterable[type[Stage]]) -> None:
        self.nodes: dict[str, Node] = {}
        self.edges: list[tuple[str, str]] = []
        self.faults: list[str] = []
        self._kinds = {kind.kind: kind for kind in kinds}
        dangling = []
        for name, given in spec.items():
            params = dict(given) if isinstance(given, dict) else {}
            before = self._after(name, params.pop("after", []))
            self.edges += [(other, name) for other in before]
            dangling += [(other, name) for other in before if other not in spec]
            stage: Stage = Unknown()
            releases = params.pop("releases", None)
            if not isinstance(given, dict):
                self.faults.append(f"{name}: is no stage; write {{kind: KIND, after: [NAME]}}")
            elif releases is not None:
                stage = self._held(name, params, releases, spec)
            else:
                stage = self._stage(name, params)
            known = isinstance(stage, Scope) and releases is not None
            self.nodes[name] = Node(name, stage, releases if known else None)
        for other, name in dangling:
            self.faults.append(
                f"{name}: comes after {other!r}, which is not a stage of this pipeline"
            )
            self.nodes[other] = Node(other, Unknown())

    def _after(self, name: str, given: Any) -> list[str]:
        if isinstance(given, list) and all(isinstance(other, str) for other in given):
            return given
        self.faults.append(f"{name}.after: lists names of stages, such as [collect]")
        return [given] if isinstance(given, str) else []

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

    def _held(
        self, name: str, params: dict[str, Any], releases: Any, spec: Mapping[str, Any]
    ) -> Stage:
        """Give the scope that a node releases; its faults are told where it is acquired."""
        held = spec.get(releases) if isinstance(releases, str) else None
        given = {k: v for k, v in held.items() if k != "after"} if isinstance(held, dict) else {}
        kind = given.pop("kind", None)
        scope = self._kinds.get(kind) if isinstance(kind, str) else None
        if scope is None or not issubclass(scope, Scope):
            self.faults.append(f"{name}: releases {releases!r}, which is not a scope")
            return Unknown()
        if params:
            self.faults.append(
                f"{name}: only releases {releases!r}, which has the parameters;"
                f" leave out {', '.join(map(str, params))}"
            )
        try:
            return scope.model_validate(given)
        except ValidationError:
            return scope.model_construct()
