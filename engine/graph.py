"""From a spec to a validated graph of stages, and from a graph to its reverse.

A spec is plain data: name -> {kind, after: [names], parameters…}. A scope's second node says
`releases: NAME` instead of a kind. This is the only module that knows networkx: it explains what is
wrong with a graph, and a graph that is right does without (its import takes a quarter of the time
that a short command has).
"""

from __future__ import annotations

from collections import Counter
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from engine.node import Node, Reading, Unknown
from engine.stage import FanOut, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from engine.stage import Stage

__all__ = ["Graph", "GraphFaults", "Node"]


class GraphFaults(Exception):  # noqa: N818 (it carries several)
    """A spec does not build; `faults` says everything that is wrong with it, in order."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = list(faults)


class Graph:
    """Validated nodes and edges, in a deterministic order."""

    def __init__(self, nodes: Iterable[Node], edges: Iterable[tuple[str, str]]) -> None:
        """Check everything; raises GraphFaults with every fault there is."""
        self.nodes = {node.name: node for node in nodes}
        self._before: dict[str, list[str]] = {name: [] for name in self.nodes}
        self._after: dict[str, list[str]] = {name: [] for name in self.nodes}
        for before, after in dict.fromkeys(edges):
            self._before[after].append(before)
            self._after[before].append(after)
        if faults := [*self._cycles(), *self._ports(), *self._scopes()]:
            raise GraphFaults(faults)
        self.order = [self.nodes[name] for name in self._ordered()]

    @classmethod
    def build(cls, spec: Mapping[str, Any], kinds: Iterable[type[Stage]]) -> Graph:
        """Build the graph that a spec describes; raises GraphFaults."""
        reading = Reading(spec, kinds)
        try:
            graph = cls(reading.nodes.values(), reading.edges)
        except GraphFaults as error:
            raise GraphFaults([*reading.faults, *error.faults]) from None
        if reading.faults:
            raise GraphFaults(reading.faults)
        return graph

    def before(self, name: str) -> list[Node]:
        """Nodes that must be done, or that feed this one."""
        return [self.nodes[other] for other in self._before[name]]

    def after(self, name: str) -> list[Node]:
        """Nodes that wait for this one, or that it feeds."""
        return [self.nodes[other] for other in self._after[name]]

    def feeder(self, name: str) -> Node | None:
        """Give the node whose items flow into this one."""
        if self.nodes[name].takes is None:
            return None
        return next((node for node in self.before(name) if node.gives is not None), None)

    def fed(self, name: str) -> list[Node]:
        """Nodes that this one's items flow into."""
        return [node for node in self.after(name) if self.feeder(node.name) is self.nodes[name]]

    def downstream(self, name: str) -> set[str]:
        """Names of all nodes that come after this one."""
        return _reached(self._after, name)

    def reverse(self, keep: str, source: Node) -> Graph:
        """Turn the branch that ends at `keep` around, fed by `source`.

        Stages without an inverse fall out, what they ordered stays ordered; a scope's two nodes
        change places.
        """
        branch = {keep} | _reached(self._before, keep)
        branch |= {n.name for n in self.nodes.values() if n.releases in branch}
        stays: dict[str, list[str]] = {}  # node -> those that come before it, and stay
        # Node -> itself, or what stands behind it when it falls out.
        seen: dict[str, list[str]] = {}
        for name in (node.name for node in self.order if node.name in branch):
            before = [far for near in self._before[name] if near in branch for far in seen[near]]
            stage = self.nodes[name].stage
            if stage.one_way if isinstance(stage, Scope) else stage.inverse is None:
                seen[name] = before
            else:
                seen[name], stays[name] = [name], before
        pairs = [
            (n.name, n.releases) for n in self.nodes.values() if n.releases and n.releases in stays
        ]
        swap = dict(pairs) | {acquire: release for release, acquire in pairs}
        nodes = [
            Node(
                swap.get(node.name, node.name),
                node.stage,
                releases=node.name if node.name in swap and not node.releases else None,
                reversed=True,
            )
            for node in reversed(self.nodes.values())
            if node.name in stays
        ]
        edges = [(swap.get(b, b), swap.get(a, a)) for b, before in stays.items() for a in before]
        return Graph([source, *nodes], [(source.name, keep), *edges])

    def edges(self) -> list[tuple[str, str]]:
        """All edges, in the order of the nodes."""
        return [(n.name, after.name) for n in self.nodes.values() for after in self.after(n.name)]

    def _ordered(self) -> Iterator[str]:
        """Give what is ready, first what stands first in the spec; raises CycleError."""
        place = {name: number for number, name in enumerate(self.nodes)}
        sorter = TopologicalSorter(self._before)
        sorter.prepare()
        ready: list[tuple[int, str]] = []
        while sorter.is_active():
            for name in sorter.get_ready():
                heappush(ready, (place[name], name))
            _, name = heappop(ready)
            yield name
            sorter.done(name)

    def _cycles(self) -> list[str]:
        """Name one cycle in each knot."""
        try:
            TopologicalSorter(self._before).prepare()
        except CycleError:
            import networkx as nx
        else:
            return []
        dag: nx.DiGraph[str] = nx.DiGraph(self._after)
        place = {name: number for number, name in enumerate(self.nodes)}
        knots = [
            sorted(knot, key=place.__getitem__)
            for knot in nx.strongly_connected_components(dag)
            if len(knot) > 1 or dag.has_edge(*knot, *knot)
        ]
        faults = []
        for knot in sorted(knots, key=lambda knot: place[knot[0]]):
            inside: nx.DiGraph[str] = nx.DiGraph(
                [(a, b) for a in knot for b in dag[a] if b in knot]
            )
            cycle = [edge[0] for edge in nx.find_cycle(inside, knot[0])]
            faults.append(f"{cycle[0]}: waits for itself: {' -> '.join([*cycle, cycle[0]])}")
        return faults

    def _ports(self) -> list[str]:
        faults = []
        for node in self.nodes.values():
            feeding = [n for n in self.before(node.name) if n.gives is not None]
            if node.takes is not None:
                wanted = node.takes.__name__
                faults += [
                    f"{node.name}: takes {wanted}, but {n.name} gives {_name(n.gives)}"
                    for n in feeding
                    if n.gives is not node.takes
                ]
                unsure = any(isinstance(n.stage, Unknown) for n in self.before(node.name))
                if not feeding and not unsure and not node.may_begin:
                    faults.append(f"{node.name}: takes {wanted}, and nothing before it gives that")
                elif len(feeding) > 1:
                    names = ", ".join(n.name for n in feeding)
                    faults.append(f"{node.name}: is fed by {names}; one is the most")
            fed = [n.name for n in self.after(node.name) if n.takes is not None]
            if node.gives is not None and len(fed) > 1 and not isinstance(node.stage, FanOut):
                faults.append(f"{node.name}: feeds {', '.join(fed)}; only a fan-out feeds several")
        return faults

    def _scopes(self) -> list[str]:
        releases = Counter(node.releases for node in self.nodes.values() if node.releases)
        faults = []
        for node in self.nodes.values():
            if node.releases is None and isinstance(node.stage, Scope):
                if not releases[node.name]:
                    faults.append(f"{node.name}: acquires something that no stage releases")
                elif releases[node.name] > 1:
                    faults.append(f"{node.name}: is released more than once")
            if node.releases in self.nodes and node.name not in self.downstream(node.releases):
                faults.append(f"{node.name}: releases {node.releases!r} but does not come after it")
        return faults


def _reached(edges: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """Give all that edges lead to from a node, without that node."""
    found: set[str] = set()
    left = [name]
    while left:
        new = set(edges[left.pop()]) - found
        found |= new
        left += new
    return found - {name}


def _name(port: type | None) -> str:
    return "nothing" if port is None else port.__name__
