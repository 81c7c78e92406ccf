"""Validated graphs of stages, and their reverse."""

from __future__ import annotations

from collections import Counter
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from engine.spec import Missing, Node, Reading, Unknown
from engine.stage import FanOut, Link, Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from engine.stage import Stage

__all__ = ["Graph", "GraphFaults", "Node", "Nothing"]


class GraphFaults(Exception):  # noqa: N818 (it carries several)
    """Error for a document that does not build; `faults` lists everything wrong, in order."""

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
        faults: Iterable[str] = (),
    ) -> None:
        """Check everything. `given` are types of facts and resources that the program provides.

        Raises GraphFaults with every fault found, after the `faults` that are already known.
        """
        self.nodes = {node.name: node for node in nodes}
        self.given = frozenset(given)
        self._before: dict[str, list[str]] = {name: [] for name in self.nodes}
        self._after: dict[str, list[str]] = {name: [] for name in self.nodes}
        for before, after in dict.fromkeys(edges):
            self._before[after].append(before)
            self._after[before].append(after)
        faults = [*faults]
        for cycle in self._cycles(self._before):
            faults.append(f"{cycle[0]}: waits for itself: {' -> '.join(cycle)}")
            for name in cycle:  # so that all other faults are found, and only those
                self.nodes[name] = Node(name, Unknown(), self.nodes[name].releases)
                self._before[name] = []
        self.order = [self.nodes[name] for name in self._ordered()]
        self._gives: dict[str, type | None] = {}
        self._feeder: dict[str, str | None] = {}
        faults += [fault for node in self.order for fault in self._flow(node)]
        for name in self.nodes:
            fed = [node.name for node in self.fed(name)]
            if len(fed) > 1 and not self.forks(name):
                faults.append(f"{name}: feeds {', '.join(fed)}; only a fan-out feeds several")
        self.providers: dict[str, dict[type, str]] = {}
        """Node -> type of a fact or resource that it uses -> the node that provides it."""
        faults += [*self._scopes(), *self._facts()]
        unsure = any(isinstance(node.stage, Unknown) for node in self.order)
        if faults or (not unsure and (faults := [*self._wiring()])):
            raise GraphFaults(faults)

    @classmethod
    def build(
        cls, spec: Mapping[str, Any], kinds: Iterable[type[Stage]], given: Iterable[type] = ()
    ) -> Graph:
        """Build the graph that a document describes; raises GraphFaults."""
        reading = Reading(spec, kinds)
        return cls(reading.nodes.values(), reading.edges, given, reading.faults)

    def document(self) -> dict[str, dict[str, Any]]:
        """Return the document that builds this graph."""
        return {node.name: node.document(self._before[node.name]) for node in self.order}

    def before(self, name: str) -> list[Node]:
        """Return the nodes that must end before this one begins, or that feed it."""
        return [self.nodes[other] for other in self._before[name]]

    def after(self, name: str) -> list[Node]:
        """Return the nodes that wait for this one, or that it feeds."""
        return [self.nodes[other] for other in self._after[name]]

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
        """Return whether each node that this one feeds runs in its own thread."""
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
        """Return the branch that ends at `keep`, reversed and fed by the nodes of `lead`.

        Each node of `lead` comes after the one before it. Stages without an inverse are dropped;
        what they ordered stays ordered. The two nodes of a scope change places.
        """
        branch = {keep} | _reached(self._before, keep)
        stays: dict[str, list[str]] = {}  # node -> the nodes before it that are kept
        # Node -> itself, or the nodes before it if it is dropped.
        seen: dict[str, list[str]] = {}
        for name in (node.name for node in self.order if node.name in branch):
            before = [far for near in self._before[name] for far in seen[near]]
            if self.nodes[name].stage.inverse is None:
                seen[name] = before
            else:
                seen[name], stays[name] = [name], before
        pairs = [(name, self.nodes[name].releases or "") for name in stays]
        held = {b: b for _, b in pairs if b}
        swap = {a: b for a, b in pairs if b} | {b: a for a, b in pairs if b}
        nodes = [
            Node(swap.get(n.name, n.name), n.stage, releases=held.get(n.name), reversed=True)
            for n in reversed(self.order)
            if n.name in stays
        ]
        names = [node.name for node in lead]
        edges = [(swap.get(b, b), swap.get(a, a)) for b, before in stays.items() for a in before]
        edges += [*zip(names, [*names[1:], keep], strict=True)]
        return Graph([*lead, *nodes], edges, given)

    def edges(self) -> list[tuple[str, str]]:
        """Return all edges, in the order of the nodes."""
        return [(n.name, after.name) for n in self.nodes.values() for after in self.after(n.name)]

    def _ordered(self) -> Iterator[str]:
        """Yield the names of nodes whose predecessors are done, in the order of the document."""
        left = dict(self._before)
        while left:
            name = next(name for name, before in left.items() if left.keys().isdisjoint(before))
            del left[name]
            yield name

    def _cycles(self, before: Mapping[str, Iterable[str]]) -> list[list[str]]:
        """Return cycles that share no node, each from its first node back to it."""
        place = {name: number for number, name in enumerate(self.nodes)}
        found: list[list[str]] = []
        while True:
            try:
                TopologicalSorter(before).prepare()
            except CycleError:
                import networkx as nx  # only here: it takes longer to import than all of packrat

                cycle = [earlier for earlier, _ in nx.find_cycle(nx.DiGraph(before).reverse())]
                first = cycle.index(min(cycle, key=place.__getitem__))
                found.append([*cycle[first:], *cycle[: first + 1]])
                before = {name: [] if name in cycle else before[name] for name in before}
            else:
                return sorted(found, key=lambda cycle: place[cycle[0]])

    def _flow(self, node: Node) -> Iterator[str]:
        """Resolve what feeds a node and what it gives; yield what does not fit.

        The nodes before it must already be resolved.
        """
        name, link = node.name, isinstance(node.stage, Link)
        ports = node.stage.takes, node.stage.gives
        takes, own = reversed(ports) if node.reversed else ports
        feeding = {}
        if link or takes is not None:
            feeding = {o: gives for o in self._before[name] if (gives := self._gives[o])}
        self._feeder[name] = next(iter(feeding), None)
        self._gives[name] = next(iter(feeding.values()), Nothing) if link else own
        for other, given in feeding.items():
            if takes is not None and given not in (takes, Nothing):
                yield f"{name}: takes {takes.__name__}, but {other} gives {given.__name__}"
        unsure = any(isinstance(self.nodes[o].stage, Unknown) for o in _reached(self._before, name))
        if takes is not None and not unsure and {*feeding.values()} <= {Nothing}:
            yield f"{name}: takes {takes.__name__}, but nothing before it gives that"
        elif len(feeding) > 1:
            yield f"{name}: is fed by {', '.join(feeding)}; at most one stage may feed it"

    def _scopes(self) -> Iterator[str]:
        releases = Counter(node.releases for node in self.nodes.values() if node.releases)
        for node in self.nodes.values():
            if node.releases is None and isinstance(node.stage, Scope):
                if not releases[node.name]:
                    yield f"{node.name}: acquires something that no stage releases"
                elif releases[node.name] > 1:
                    yield f"{node.name}: is released more than once"
            if node.releases in self.nodes and node.name not in self.downstream(node.releases):
                yield f"{node.name}: releases {node.releases!r} but does not come after it"

    def _wiring(self) -> Iterator[str]:
        """Yield what prevents chains from running, in a graph without other faults."""
        heads = {node.name: chain[0].name for chain in self.chains() for node in chain}
        before: dict[str, set[str]] = {head: set() for head in heads.values()}
        for earlier, later in self.edges():
            before[heads[later]] |= {heads[earlier]} - {heads[later]}
        for cycle in self._cycles({head: sorted(names) for head, names in before.items()}):
            yield f"{cycle[0]}: chains wait for each other: {' -> '.join(cycle)}"
        for node in self.nodes.values():
            if node.releases and heads[node.releases] != heads[node.name]:
                yield f"{node.name}: releases {node.releases!r}, whose items do not flow to it"

    def _facts(self) -> Iterator[str]:
        """Find the provider of everything a node asks for; yield what is missing or ambiguous."""
        for node in self.order:
            above = _reached(self._before, node.name)
            before = [other for other in self.order if other.name in above]
            unsure = any(type(other.stage) is Unknown for other in before)
            dangling = any(isinstance(other.stage, Missing) for other in before)
            # the edge is wrong then, and no stage is missing
            elsewhere = self.order if dangling else []
            found = self.providers[node.name] = {}
            for asked in (*node.needs, *(type(default) for default in node.uses)):
                by = [other.name for other in before if asked in other.provides]
                if len(by) > 1:
                    yield f"{node.name}: {' and '.join(by)} provide {asked.__name__}; only one may"
                elif by:
                    found[asked] = by[0]
                elif asked in node.needs and asked not in self.given and not unsure:
                    if any(asked in other.provides for other in elsewhere):
                        continue
                    yield f"{node.name}: needs {asked.__name__}, but no stage before it provides it"


def _reached(edges: Mapping[str, Sequence[str]], name: str) -> set[str]:
    """Return all nodes that edges lead to from a node, without that node."""
    found: set[str] = set()
    left = [name]
    while left:
        new = set(edges[left.pop()]) - found
        found |= new
        left += new
    return found - {name}
