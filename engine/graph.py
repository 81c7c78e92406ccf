"""Validated graphs of stages, and their reverse.

This is the only module that imports networkx, and only to explain a graph that is wrong: importing
it takes a quarter of the time of a short command.
"""

from __future__ import annotations

from collections import Counter
from graphlib import CycleError, TopologicalSorter
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any

from engine.spec import Missing, Node, Reading, Unknown
from engine.stage import FanOut, Link, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from engine.stage import Stage

__all__ = ["Graph", "GraphFaults", "Node", "Nothing"]


class GraphFaults(Exception):  # noqa: N818 (it carries several)
    """A document does not build; `faults` names everything that is wrong with it, in order."""

    def __init__(self, faults: Sequence[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = list(faults)


class Nothing:
    """Item type of a chain that begins with a link: no items flow."""


class Graph:
    """Nodes and edges in a deterministic order, with the flow of items and facts resolved."""

    def __init__(
        self,
        nodes: Iterable[Node],
        edges: Iterable[tuple[str, str]],
        given: Iterable[type] = (),
    ) -> None:
        """Check everything. `given` are types of facts and resources that the program provides.

        Raises GraphFaults with every fault there is.
        """
        self.nodes = {node.name: node for node in nodes}
        self.given = frozenset(given)
        self._before: dict[str, list[str]] = {name: [] for name in self.nodes}
        self._after: dict[str, list[str]] = {name: [] for name in self.nodes}
        for before, after in dict.fromkeys(edges):
            self._before[after].append(before)
            self._after[before].append(after)
        if cycles := self._cycles():
            raise GraphFaults([*cycles, *self._scopes()])
        self.order = [self.nodes[name] for name in self._ordered()]
        self._gives: dict[str, type | None] = {}
        self._feeder: dict[str, str | None] = {}
        for node in self.order:
            self._flow(node)
        self.providers: dict[str, dict[type, str]] = {}
        """Node -> fact or resource that it asks for -> the node that provides it."""
        if faults := [*self._ports(), *self._scopes(), *self._facts()]:
            raise GraphFaults(faults)

    @classmethod
    def build(
        cls, spec: Mapping[str, Any], kinds: Iterable[type[Stage]], given: Iterable[type] = ()
    ) -> Graph:
        """Build the graph that a document describes; raises GraphFaults."""
        reading = Reading(spec, kinds)
        try:
            graph = cls(reading.nodes.values(), reading.edges, given)
        except GraphFaults as error:
            raise GraphFaults([*reading.faults, *error.faults]) from None
        if reading.faults:
            raise GraphFaults(reading.faults)
        return graph

    def document(self) -> dict[str, dict[str, Any]]:
        """Return the document that builds this graph."""
        return {node.name: node.document(self._before[node.name]) for node in self.order}

    def before(self, name: str) -> list[Node]:
        """Return the nodes that must end before this one begins, or that feed it."""
        return [self.nodes[other] for other in self._before[name]]

    def after(self, name: str) -> list[Node]:
        """Return the nodes that wait for this one, or that it feeds."""
        return [self.nodes[other] for other in self._after[name]]

    def gives(self, name: str) -> type | None:
        """Return the type of the items that flow out of a node."""
        return self._gives[name]

    def feeder(self, name: str) -> Node | None:
        """Return the node whose items flow into this one."""
        feeder = self._feeder[name]
        return self.nodes[feeder] if feeder else None

    def fed(self, name: str) -> list[Node]:
        """Return the nodes that this one's items flow into."""
        return [node for node in self.after(name) if self._feeder[node.name] == name]

    def downstream(self, name: str) -> set[str]:
        """Return the names of all nodes that come after this one."""
        return _reached(self._after, name)

    def forks(self, name: str) -> bool:
        """Return whether each node that this one feeds runs in a thread of its own."""
        return isinstance(self.nodes[name].stage, FanOut) and not self.nodes[name].reversed

    def chains(self) -> list[list[Node]]:
        """Return the nodes in chains that feed each other, in order; a fan-out ends its chain."""
        chains = []
        for node in self.order:
            feeder = self._feeder[node.name]
            if feeder and not self.forks(feeder):
                continue
            chain = [node]
            while not self.forks(chain[-1].name) and (fed := self.fed(chain[-1].name)):
                chain.append(fed[0])
            chains.append(chain)
        return chains

    def reverse(self, keep: str, lead: Sequence[Node], given: Iterable[type] = ()) -> Graph:
        """Return the branch that ends at `keep` turned around, fed by the nodes of `lead`.

        Each node of `lead` comes after the one before it. Stages without an inverse are dropped,
        and what they ordered stays ordered; the two nodes of a scope change places.
        """
        branch = {keep} | _reached(self._before, keep)
        stays: dict[str, list[str]] = {}  # node -> nodes before it that stay
        # Node -> itself, or the nodes before it when it is dropped.
        seen: dict[str, list[str]] = {}
        for name in (node.name for node in self.order if node.name in branch):
            before = [far for near in self._before[name] for far in seen[near]]
            if self.nodes[name].stage.inverse is None:
                seen[name] = before
            else:
                seen[name], stays[name] = [name], before
        pairs = [(name, self.nodes[name].releases or "") for name in stays]
        swap = {a: b for a, b in pairs if b} | {b: a for a, b in pairs if b}
        nodes = [
            Node(
                swap.get(node.name, node.name),
                node.stage,
                releases=node.name if node.name in swap and not node.releases else None,
                reversed=True,
            )
            for node in reversed(self.order)
            if node.name in stays
        ]
        names = [node.name for node in lead]
        edges = [(swap.get(b, b), swap.get(a, a)) for b, before in stays.items() for a in before]
        edges += [*zip(names, [*names[1:], keep], strict=True)]
        return Graph([*lead, *nodes], edges, given)

    def edges(self) -> list[tuple[str, str]]:
        """Return all edges, in the order of the nodes."""
        return [(n.name, after.name) for n in self.nodes.values() for after in self.after(n.name)]

    def _ordered(self) -> Iterator[str]:
        """Yield what is ready, in the order of the document; raises CycleError."""
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
        """Name one cycle in each strongly connected part."""
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

    def _flow(self, node: Node) -> None:
        """Resolve what feeds a node and what it gives; the nodes before it are resolved."""
        stage, name = node.stage, node.name
        feeding = [other for other in self._before[name] if self._gives[other] is not None]
        takes = isinstance(stage, Link) or self._takes(node) is not None
        self._feeder[name] = feeding[0] if takes and feeding else None
        if isinstance(stage, Link):
            self._gives[name] = self._gives[feeding[0]] if feeding else Nothing
        else:
            self._gives[name] = stage.takes if node.reversed else stage.gives

    @staticmethod
    def _takes(node: Node) -> type | None:
        return node.stage.gives if node.reversed else node.stage.takes

    def _ports(self) -> list[str]:
        faults = []
        for name, node in self.nodes.items():
            feeding = [n for n in self.before(name) if self._gives[n.name] is not None]
            takes = self._takes(node)
            link = isinstance(node.stage, Link)
            if takes is not None or link:
                given = {n.name: self._gives[n.name] for n in feeding}
                faults += [
                    f"{name}: takes {takes.__name__}, but {other} gives {_name(gives)}"
                    for other, gives in given.items()
                    if takes is not None and gives not in (takes, Nothing)
                ]
                unsure = any(isinstance(n.stage, Unknown) for n in self.before(name))
                if takes is not None and not {*given.values()} - {Nothing} and not unsure:
                    faults.append(
                        f"{name}: takes {takes.__name__}, but nothing before it gives that"
                    )
                elif len(feeding) > 1:
                    names = ", ".join(n.name for n in feeding)
                    faults.append(f"{name}: is fed by {names}; at most one stage may feed it")
            fed = [n.name for n in self.fed(name)]
            if len(fed) > 1 and not isinstance(node.stage, FanOut):
                faults.append(f"{name}: feeds {', '.join(fed)}; only a fan-out feeds several")
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

    def _facts(self) -> list[str]:
        """Find who provides what each node asks for."""
        faults = []
        for node in self.order:
            above = _reached(self._before, node.name)
            unsure = any(
                isinstance(self.nodes[name].stage, Unknown)
                and not isinstance(self.nodes[name].stage, Missing)
                for name in above
            )
            found = self.providers[node.name] = {}
            for asked in (*node.needs, *(type(default) for default in node.uses)):
                by = [n.name for n in self.order if n.name in above and asked in n.provides]
                if len(by) > 1:
                    faults.append(
                        f"{node.name}: asks for {asked.__name__}, which {' and '.join(by)} provide;"
                        " only one stage before it may"
                    )
                elif by:
                    found[asked] = by[0]
                elif asked in node.needs and asked not in self.given and not unsure:
                    faults.append(
                        f"{node.name}: needs {asked.__name__}, but no stage before it provides it"
                    )
        return faults


def _reached(edges: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """Return all nodes that edges lead to from a node, without that node."""
    found: set[str] = set()
    left = [name]
    while left:
        new = set(edges[left.pop()]) - found
        found |= new
        left += new
    return found - {name}


def _name(port: type | None) -> str:
    return "nothing" if port is None else port.__name__
