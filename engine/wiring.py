"""Execution of a graph: chains of generators, a thread for each branch, and every release.

The rules:

- A chain is nested generators, drained in one thread: the last stage pulls, the first one begins to
  work. A fan-out ends its chain; each branch behind it is a chain in its own thread.
- A chain begins once every stage has ended that its members come after, except their feeder. The
  other chains run one after the other in the calling thread, in the order of the document.
- A scope is acquired when the input of its first link has ended, and released when the input of
  its second link has ended. If the chain ends before that, it is released at once.
- When a stage fails, the rest of its chain and what depends on it are skipped. Other branches
  go on. Once a run is cancelled, no stage begins, and none goes on behind one that has ended.
- Resources are closed after the last stage, in the reverse order of opening.
"""

from __future__ import annotations

from threading import Thread
from typing import TYPE_CHECKING, Any

from engine.events import Acquired, Failed, Finished, Released, Skipped, Started
from engine.facts import WAIT_SECONDS, Unavailable
from engine.run import Cancelled, Outcome, Position, Run
from engine.stage import FanOut, Scope

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.graph import Graph, Node

Chain = list["Node"]


def execute(graph: Graph, run: Run) -> Outcome:
    """Run a graph to its end and return the outcome; errors of stages are not raised."""
    return _Execution(graph, run).execute()


class _Execution:
    """One run of one graph."""

    def __init__(self, graph: Graph, run: Run) -> None:
        self.graph, self.run, self.facts = graph, run, run.shared.facts
        self.outcome = Outcome({}, {}, self.facts)
        self.chains = graph.chains()
        self.chain_of = {node.name: chain for chain in self.chains for node in chain}
        self.views: dict[str, Run] = {}
        self.started: dict[str, float] = {}
        self.held: set[str] = set()
        """Names of the acquiring nodes whose scopes are held."""
        for name, chain in self.chain_of.items():
            members = frozenset(node.name for node in chain)
            position = Position(graph.nodes[name], graph.providers[name], members)
            self.views[name] = Run(run.shared, name, position)

    def execute(self) -> Outcome:
        forked = [chain for chain in self.chains if self.graph.feeder(chain[0].name)]
        waiting = [chain for chain in self.chains if chain not in forked]
        threads = [Thread(target=self._run, args=(c,), name=c[0].name, daemon=True) for c in forked]
        try:
            for thread in threads:
                thread.start()
            while waiting:
                if ready := next(filter(self._is_ready, waiting), None):
                    waiting.remove(ready)
                    self._run(ready)
                else:
                    self._pause()
            for thread in threads:
                while thread.is_alive():  # a signal that arrives as a wait begins does not end it
                    thread.join(WAIT_SECONDS)
        except BaseException:
            self.run.cancel()
            raise
        finally:
            self.run.pool.shutdown(wait=True, cancel_futures=True)
            self._close()
        return self.outcome

    def _is_ready(self, chain: Chain) -> bool:
        return all(map(self.facts.ended, self._awaited(chain)))

    def _awaited(self, chain: Chain) -> list[str]:
        """Return the stages outside of a chain that its members come after, except its feeder."""
        feeder = self.graph.feeder(chain[0].name)
        before = [other for node in chain for other in self.graph.before(node.name)]
        return [other.name for other in before if other not in chain and other is not feeder]

    def _pause(self) -> None:
        with self.facts.changed:
            self.facts.changed.wait(WAIT_SECONDS)

    def _run(self, chain: Chain) -> None:
        """Run one chain to its end, once everything that it comes after has ended."""
        while not self._is_ready(chain):
            self._pause()
        culprits = filter(None, map(self.facts.culprit, self._awaited(chain)))
        culprit = next(culprits, None) or self._drain(chain)
        for node in chain:
            self._end(node, culprit)

    def _drain(self, chain: Chain) -> str | None:
        """Pull all items through a chain; return the stage that kept it from finishing, or None."""
        generators: list[Iterator[Any]] = []
        try:
            items = self._source(chain[0])
            for node in chain:
                items = self._watched(node, items)
                generators.append(items)
            for _ in items:
                pass
        except BaseException as error:  # noqa: BLE001 (the outcome carries it, whatever it is)
            return self._culprit(chain, error)
        finally:
            for generator in reversed(generators):
                generator.close()
            for node in reversed(chain):
                self._release(node)
        return None

    def _culprit(self, chain: Chain, error: BaseException) -> str:
        """Return the stage that is responsible for a chain's ending with an error."""
        if isinstance(error, Unavailable):
            return error.because
        for node in chain:
            if self.outcome.failed.get(node.name) is error:
                return node.name
        feeder = self.graph.feeder(chain[0].name)
        if feeder and self.views[chain[0].name].orphaned.is_set():
            return self.facts.culprit(feeder.name) or feeder.name
        # Raised between two stages, for example by a signal.
        node = next((n for n in chain if not (n.releases or self.facts.ended(n.name))), chain[0])
        self._failed(node, error)
        return node.name

    def _source(self, head: Node) -> Iterator[Any]:
        feeder = self.graph.feeder(head.name)
        if not feeder or not isinstance(feeder.stage, FanOut):
            return iter(())
        # The branch's thread requests what the fan-out needs, and ends as the branch does.
        place = Position(feeder, self.graph.providers[feeder.name])
        view = Run(self.run.shared, feeder.name, place)
        view.orphaned = self.views[head.name].orphaned
        return feeder.stage.branch(view)

    def _watched(self, node: Node, items: Iterator[Any]) -> Iterator[Any]:
        """Yield what one node gives; report its start, its end and its error."""
        view, cancelled = self.views[node.name], self.run.shared.cancelled.is_set
        self.started[node.name] = view.clock.ticks()
        view.emit(Started(node.name))
        try:
            view.check()
            for item in self._work(node, items, view):
                if cancelled():
                    view.check()
                yield item
        except (GeneratorExit, Unavailable):
            raise
        except BaseException as error:
            if not node.releases:  # the outcome of a releasing link is how its release went
                self._failed(node, error)
            raise
        if not self.facts.ended(node.name):
            self._end(node)
            if node.name in self.outcome.failed:
                raise self.outcome.failed[node.name]
        view.check()  # in a cancelled run, the next stage must not begin anything

    def _work(self, node: Node, items: Iterator[Any], view: Run) -> Iterator[Any]:
        if isinstance(node.stage, Scope):
            through = self._releasing if node.releases else self._acquiring
            return through(node, node.stage, items)
        work: Any = node.stage.inverse if node.reversed else node.stage.forward
        result: Iterator[Any] = work(items, view)
        return result

    def _acquiring(self, node: Node, scope: Scope, items: Iterator[Any]) -> Iterator[Any]:
        yield from items
        self.held.add(node.name)
        scope.acquire(self.views[node.name])
        self.run.emit(Acquired(node.name))

    def _releasing(self, node: Node, scope: Scope, items: Iterator[Any]) -> Iterator[Any]:
        ahead: list[Any] = []
        room = scope.read_ahead
        for item in items:
            ahead.append(item)
            room -= scope.weight(item)
            if room < 0:
                yield from ahead
                ahead, room = [], scope.read_ahead
        self._release(node)
        yield from ahead

    def _release(self, node: Node) -> None:
        """Release a held scope if this node releases it; an error is only the node's outcome."""
        if node.releases not in self.held or not isinstance(node.stage, Scope):
            return
        self.held.remove(node.releases)
        because = None
        try:
            node.stage.release(self.views[node.name])
        except Unavailable as error:
            because = error.because
        except BaseException as error:  # noqa: BLE001 (the outcome carries it)
            self._failed(node, error)
        self.run.emit(Released(node.name))
        self._end(node, because)

    def _failed(self, node: Node, error: BaseException) -> None:
        """Record the error of a node, unless the stage that caused it has already recorded it."""
        if isinstance(error, KeyboardInterrupt):
            self.run.cancel()
        known = [self.outcome.failed.get(member.name) for member in self.chain_of[node.name]]
        orphaned = self.views[node.name].orphaned.is_set() and isinstance(error, Cancelled)
        if orphaned or self.facts.ended(node.name) or any(error is one for one in known):
            return
        self.outcome.failed[node.name] = error
        self.run.emit(Failed(node.name, error))

    def _end(self, node: Node, because: str | None = None) -> None:
        """Record once that a node has ended; `because` is the node that kept it from finishing."""
        if self.facts.ended(node.name):
            return
        view, failed = self.views[node.name], self.outcome.failed
        owed = [kind for kind in node.provides if not self.facts.provided(kind, node.name)]
        if owed and because is None and node.name not in failed:
            said = f"{node.name} ended without providing {owed[0].__name__}"
            self._failed(node, LookupError(said))
        if node.name in failed:
            because = node.name
        if because is None:
            seconds = view.clock.ticks() - self.started.get(node.name, view.clock.ticks())
            view.emit(Finished(node.name, view.items, view.bytes, seconds))
        elif because != node.name:
            self.outcome.skipped[node.name] = because
            view.emit(Skipped(node.name, because))
        self.facts.end(node.name, because)
        if because and self.graph.forks(node.name):
            for branch in self.graph.fed(node.name):
                for member in self.chain_of[branch.name]:
                    self.views[member.name].orphaned.set()

    def _close(self) -> None:
        """Close all resources; an error in one does not leave another open."""
        for stage, close in reversed(self.run.shared.closings):
            try:
                close()
            except BaseException as error:  # noqa: BLE001 (the outcome carries it)
                self.outcome.failed.setdefault(stage, error)
                self.run.emit(Failed(stage, error))
