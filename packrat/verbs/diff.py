"""`packrat diff`: what changed between two backups of a service."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from packrat.browse.library import ChosenBackups
from packrat.errors import UsageError
from packrat.text.report import count_text, growth_text, print_json
from specs.faults import printable
from vault.archive.compare import changes, differences
from vault.browse import PackratFileSystem

if TYPE_CHECKING:
    from collections.abc import Iterator

    from packrat.program import Program
    from vault.archive.tree import Tree

MARKS = {"added": "+", "removed": "-", "changed": "*"}


def show_changes(
    program: Program,
    service: str,
    backups: tuple[str, str],
    source: str | None,
    password_file: str | None,
    *,
    as_json: bool,
) -> None:
    """Print each path that differs between two backups; raises UsageError and VaultError."""
    program.services([service], stored=True)
    files = PackratFileSystem(ChosenBackups(program, source, password_file))
    before, after = (files.tree(service, backup) for backup in backups)
    if before.key_id != after.key_id:
        raise UsageError(
            "the two backups are sealed under different keys, so their content cannot be compared;"
            " restore both and compare the folders"
        )
    rows = list(_rows(before, after))
    by_change = {kind: [row for row in rows if row["change"] == kind] for kind in MARKS}
    if as_json:
        sides = {"from": before.manifest.id[:8], "to": after.manifest.id[:8]}
        totals = {kind: len(group) for kind, group in by_change.items()}
        print_json({"service": service} | sides | totals | {"changes": rows})
        return
    for row in rows:
        name = printable(row["path"] or "/") + "/" * (row["type"] == "dir" and bool(row["path"]))
        what = f"  ({', '.join(row['what'])})" * bool(row["what"])
        grown = (row["size"] or 0) - (row["old_size"] or 0)
        print(f"{MARKS[row['change']]} {growth_text(grown):>12}  {name}{what}")
    total = sum((row["size"] or 0) - (row["old_size"] or 0) for row in rows)
    said = ", ".join(f"{len(group):,} {kind}" for kind, group in by_change.items())
    print(
        f"{count_text(len(rows), 'change')}: {said}; {growth_text(total)}" if rows else "no changes"
    )


def _rows(before: Tree, after: Tree) -> Iterator[dict[str, Any]]:
    """Yield a row for each path that differs; a changed entry may turn out to be equal."""
    for old, new in changes(before, after):
        what = differences(before, old, after, new) if old and new else []
        if old and new and not what:
            continue
        shown = new or old
        assert shown
        yield {
            "path": shown.name,
            "change": "changed" if old and new else "added" if new else "removed",
            "type": shown.type,
            "old_size": old.size if old else None,
            "size": new.size if new else None,
            "what": what,
        }
