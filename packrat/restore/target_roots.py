"""Folders that the roots of a backup are restored to in place."""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.errors import TargetError
from stages.in_place.staging import TargetRoot
from vault.archive.lineage import STREAMED, Root

if TYPE_CHECKING:
    from collections.abc import Sequence

    from stages.source.roots import ReadRoot, Roots


def target_roots(
    stored: Sequence[Root], roots: Roots, paths: Sequence[str], where: str
) -> list[TargetRoot]:
    """Return the folder of each root of a backup that is restored; raises TargetError.

    It is that of the service's root with the same label, or else with the same source: labels
    change when a service gets more folders. `paths` are the restored paths, all if empty.
    """
    found = []
    for root in stored:
        inner = _inside(root.label, paths)
        if inner is None:
            continue
        here = _same(root, roots, {one.label for one in stored})
        if here is None:
            raise TargetError(
                f"{where} holds the {root.kind} {root.label or root.source}, which has no place in"
                " the service as it is configured now",
                "restore it to a folder with --to, or choose other paths with --path",
            )
        found.append(TargetRoot(root.label, here.folder, inner))
    if not found:
        labels = ", ".join(root.label for root in stored)
        raise TargetError(f"{where} has no {paths[0]!r}", f"--path begins with one of: {labels}")
    return found


def selected(stored: Sequence[Root], paths: Sequence[str]) -> list[Root]:
    """Return the roots that some paths are in; all of them without paths."""
    return [root for root in stored if _inside(root.label, paths) is not None]


def _inside(label: str, paths: Sequence[str]) -> tuple[str, ...] | None:
    """Return the paths in a root, relative to it: () for all of it, None if there are none."""
    if not paths or label in paths or not label:
        return tuple(paths) if not label else ()
    begin = f"{label}/"
    return tuple(p.removeprefix(begin) for p in paths if p.startswith(begin)) or None


def _same(root: Root, roots: Roots, stored: set[str]) -> ReadRoot | None:
    streamed = root.kind in STREAMED
    there = [one for one in roots.roots if one.folder and (one.kind in STREAMED) == streamed]
    by_label = [one for one in there if one.label == root.label]
    by_source = [one for one in there if one.source == root.source and one.label not in stored]
    return next(iter([*by_label, *by_source]), None)
