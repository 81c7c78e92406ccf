"""Drawings of graphs: a tree for people, Mermaid and DOT for programs."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from specs.faults import printable

if TYPE_CHECKING:
    from engine.graph import Graph


def tree(graph: Graph, notes: dict[str, str]) -> str:
    """Return a tree of the stages in the order in which they run, with branches indented.

    `notes` maps stages to remarks, for example what they would do now.
    """
    lines = []
    depths: dict[str, int] = {}
    width = max(len(node.label) for node in graph.order) + 4
    for node in graph.order:
        before = graph.before(node.name)
        deepest = max((depths[b.name] for b in before), default=0)
        forks = any(len(graph.fed(b.name)) > 1 for b in before)
        depth = depths[node.name] = deepest + 1 if forks else deepest
        if len(before) > 1:
            depth = depths[node.name] = 0
        mark = "└─ " if forks else "   " * bool(depth)
        name = "   " * max(depth - 1, 0) + mark + node.label
        note = f"  [{notes[node.name]}]" if node.name in notes else ""
        lines.append(printable(f"  {name:<{width}}  {node.does}{note}".rstrip()))
    return "\n".join(lines)


def mermaid(graphs: dict[str, Graph]) -> str:
    """Return a Mermaid flowchart with a subgraph for each service."""
    lines = ["flowchart LR"]
    for number, (service, graph) in enumerate(graphs.items()):
        ids = {node.name: f"s{number}n{place}" for place, node in enumerate(graph.order)}
        lines.append(f'  subgraph s{number}["{_escape(service)}"]')
        for node in graph.order:
            label = "<br/>".join(_escape(text) for text in (node.label, node.does) if text)
            lines.append(f'    {ids[node.name]}["{label}"]')
        lines += [f"    {ids[a]} --> {ids[b]}" for a, b in graph.edges()]
        lines.append("  end")
    return "\n".join(lines)


def dot(graphs: dict[str, Graph]) -> str:
    """Return a DOT digraph with a cluster for each service."""
    lines = ["digraph packrat {", "  rankdir=LR;", "  node [shape=box];"]
    for number, (service, graph) in enumerate(graphs.items()):
        lines.append(f"  subgraph cluster_{number} {{")
        lines.append(f"    label={json.dumps(service)};")
        for node in graph.order:
            label = json.dumps(f"{node.label}\n{node.does}", ensure_ascii=False)
            lines.append(f"    {json.dumps(f'{service}/{node.name}')} [label={label}];")
        lines += [
            f"    {json.dumps(f'{service}/{a}')} -> {json.dumps(f'{service}/{b}')};"
            for a, b in graph.edges()
        ]
        lines.append("  }")
    lines.append("}")
    return "\n".join(lines)


def _escape(text: str) -> str:
    """Escape a text for a quoted Mermaid label, with Mermaid's entity codes."""
    return "".join(c if c.isalnum() or c in " /.:,-_…" else f"#{ord(c)};" for c in text)
