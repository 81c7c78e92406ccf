"""Comparison of runs with their plans: the same stages, in an order that the plan allows."""

from collections import Counter
from itertools import pairwise

import yaml

from engine.events import Acquired, Failed, Finished, Released, Skipped
from packrat.restore.choose import choose
from packrat.restore.opened import OpenedBackup
from packrat.restore.restore import restore
from packrat.runs.backup import back_up
from packrat.runs.maintenance import maintain
from specs.compile import compile_prune, compile_restore, compile_verify
from specs.pipeline import Pipeline, to_yaml


def printed(pipeline):
    """Return the graph that a reader builds from the printed plan."""
    document = yaml.safe_load(to_yaml([pipeline]))
    graph = Pipeline.model_validate(document).graph()
    assert [n.document([]) for n in graph.order] == [n.document([]) for n in pipeline.graph().order]
    return graph


def backing_up(house, *listeners):
    """Back up; return the printed plan and the result."""
    pipeline = house.pipeline()
    return printed(pipeline), back_up(pipeline, listeners)


def restoring(house, *listeners, to=None):
    """Restore the newest backup, in place or to a folder; return the printed plan and the rest."""
    program = house.program
    opened = OpenedBackup(house.service, choose(program, house.service, "latest"), program.keys)
    pipeline = compile_restore(
        program.config, house.service, opened.manifest.id, opened.source, (), to
    )
    graph = printed(pipeline)
    return graph, restore(pipeline, opened, listeners)


def pruning(house, *listeners):
    """Prune; return the printed plan and the outcome."""
    return _maintaining(house, compile_prune(house.program.config, house.service), listeners)


def verifying(house, *listeners):
    """Verify every frame; return the printed plan and the outcome."""
    pipeline = compile_verify(house.program.config, house.service, "frames")
    return _maintaining(house, pipeline, listeners)


def _maintaining(house, pipeline, listeners):
    return printed(pipeline), maintain(pipeline, house.program, listeners)


def assert_allowed(graph, events):
    """Assert that every stage of the plan has finished, and that the plan allows the order."""
    ended = [e.stage for e in events if isinstance(e, Finished | Failed | Skipped)]
    assert Counter(ended) == dict.fromkeys(graph.nodes, 1)
    assert not [e for e in events if isinstance(e, Failed | Skipped)]
    at = {(type(e), e.stage): n for n, e in enumerate(events)}
    for node in graph.order:
        for before in graph.before(node.name):
            # A branch may see the fan-out's last item before the fan-out has ended.
            sure = graph.before(before.name) if graph.forks(before.name) else [before]
            for one in sure:
                assert at[Finished, one.name] < at[Finished, node.name], (one.name, node.name)
    for stop, start in ((n.releases, n.name) for n in graph.order if n.releases):
        acquired, released = at[Acquired, stop], at[Released, start]
        assert all(at[Finished, node.name] < acquired for node in graph.before(stop))
        inside = graph.downstream(stop) - graph.downstream(start) - {start}
        for name in inside & {node.name for node in chain_of(graph, stop)}:
            assert acquired < at[Finished, name] < released
        assert all(released < at[Finished, name] for name in graph.downstream(start))
    counts = Counter(type(e) for e in events)
    scopes = sum(bool(node.releases) for node in graph.order)
    assert (counts[Acquired], counts[Released]) == (scopes, scopes)


def chain_of(graph, name):
    """Return the chain that contains a node."""
    return next(chain for chain in graph.chains() if graph.nodes[name] in chain)


def in_order(graph, *names):
    """Return whether the plan orders stages like this, each after the one before it."""
    return all(later in graph.downstream(earlier) for earlier, later in pairwise(names))
