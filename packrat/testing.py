"""Contract suite for stage kinds of other packages: plain functions, for any test runner.

`run_forward` and `run_inverse` run one stage with a list of items. `Trial` backs up a small tree
with the stage, by the real program, and restores it. `require_contract` checks the contract of
every kind; see docs/plugins.md.
"""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING, Any

import yaml
from msgspec import Struct

from engine.events import Event, Warned
from engine.facts import Facts
from engine.run import Run, Shared
from packrat.program import Program
from packrat.restore.choose import choose
from packrat.restore.opened import OpenedBackup
from packrat.restore.restore import Restored, restore
from packrat.runs.backup import back_up
from specs.compile import compile_restore, compile_service
from specs.pipeline import Pipeline, load_pipelines, to_yaml
from stages.items import Piece
from vault.archive.derivation import Derivation
from vault.archive.format import Entry, order, text
from vault.archive.key_file import write_key_file
from vault.archive.keys import Keys

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from engine.stage import Stage
    from packrat.runs.result import Result

SERVICE = "trial"
TREE = {"a": b"first", "b/c": b"second" * 100, "b/empty": b"", "big": bytes(range(256)) * 40_000}
"""A small tree: an empty file, a folder, a file of several chunks."""


class Ran(Struct, frozen=True):
    """Result of a stage that was run alone."""

    items: list[Any]
    warnings: list[str]


def pieces(tree: Mapping[str, bytes], block: int = 1 << 20) -> list[Piece]:
    """Return the pieces of some files, as `collect` yields them, of at most `block` bytes."""
    found = []
    for name in sorted(tree, key=order):
        plain, encoded = text(name)
        data = tree[name]
        entry = Entry(path=plain, path64=encoded, mode=0o644, size=len(data))
        found += [
            Piece(entry, at, data[at : at + block], last=at + block >= len(data))
            for at in range(0, max(len(data), 1), block)
        ]
    return found


def run_forward(stage: Stage, items: Iterable[Any], *given: Any) -> Ran:
    """Run a stage forward on these items, with these facts and resources."""
    return _alone(stage.forward, stage, items, given)


def run_inverse(stage: Stage, items: Iterable[Any], *given: Any) -> Ran:
    """Run a stage backwards on these items, with these facts and resources."""
    return _alone(stage.inverse, stage, items, given)


def _alone(work: Any, stage: Stage, items: Iterable[Any], given: Sequence[Any]) -> Ran:
    warnings: list[str] = []

    def note(event: Event) -> None:
        if isinstance(event, Warned):
            warnings.append(event.text)

    run = Run(Shared([note], facts=Facts(given)), stage.kind)
    return Ran(list(work(iter(items), run)), warnings)


class Trial:
    """A service with added stages, its key and one destination, all below one folder."""

    def __init__(
        self, folder: Path, stages: Sequence[Mapping[str, Any]], tree: Mapping[str, bytes] = TREE
    ) -> None:
        self.source, self._folder, self._stages = folder / "source", folder, list(stages)
        self.source.mkdir(parents=True)
        for name, data in tree.items():
            path = self.source / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        # The cheapest derivation that the format allows; two trials open each other's backups.
        cheap = Derivation(b"sixteen of salt.", 64 * 1024, 1, 2)
        keys = Keys.create("trial", cheap, random=bytes)
        write_key_file(str(folder / "key"), keys)

    def program(self, *, added: bool = True) -> Program:
        """Return the program with the service's configuration; raises ConfigFaults when used."""
        service: dict[str, Any] = {"path": str(self.source)}
        if added:
            service["stages"] = self._stages
        document = {
            "services": {SERVICE: service},
            "backup": {"local": {"path": str(self._folder / "store")}},
            "encryption": {"key_file": str(self._folder / "key")},
            "state_dir": str(self._folder / "state"),
        }
        file = self._folder / ("added.yaml" if added else "plain.yaml")
        file.write_text(yaml.safe_dump(document, sort_keys=False))
        return Program(str(file))

    def pipeline(self) -> Pipeline:
        """Return the compiled backup, read from its printed document as `run` does."""
        file = self._folder / "pipeline.yaml"
        file.write_text(to_yaml([compile_service(self.program().config, SERVICE)]))
        [pipeline] = load_pipelines(str(file))
        return pipeline

    def back_up(self) -> Result:
        """Back up; a failure is in the result."""
        return back_up(self.pipeline())

    def entries(self) -> list[Entry]:
        """Return the entries of the newest backup."""
        program = self.program(added=False)
        return list(OpenedBackup(SERVICE, choose(program, SERVICE), program.keys).entries())

    def restore(self, to: str, *, added: bool = True) -> Restored:
        """Restore the newest backup to a folder, with the added stages or without them."""
        program = self.program(added=added)
        opened = OpenedBackup(SERVICE, choose(program, SERVICE), program.keys)
        target = str(self._folder / to)
        document = compile_restore(
            program.config, SERVICE, opened.manifest.id, opened.source, to=target
        )
        return restore(document, opened)


def tree_of(folder: str) -> dict[str, tuple[Any, ...]]:
    """Return path -> type, mode, size, time, and content or target of all below a folder."""
    found = {}
    for above, names, files in os.walk(folder):
        for name in [*names, *files]:
            path = os.path.join(above, name)
            info = os.lstat(path)
            content: Any = b""
            if stat.S_ISREG(info.st_mode):
                with open(path, "rb") as file:
                    content = file.read()
            elif stat.S_ISLNK(info.st_mode):
                content = os.readlink(path)
            found[os.path.relpath(path, folder)] = (info.st_mode, info.st_mtime_ns, content)
    return found


def require_contract(
    folder: Path, entry: Mapping[str, Any], tree: Mapping[str, bytes] = TREE
) -> None:
    """Raise AssertionError if a stage breaks the contract of every kind.

    `entry` is an entry of `stages:`, and `tree` a tree that the stage does not refuse. By contract,
    the configuration accepts the entry, and the printed document runs. The archive's index is in
    order, and contains no path twice. A second run succeeds, in which most files are unchanged. A
    restore with the stage and one without it write the same files.
    """
    trial = Trial(folder, [entry], tree)
    for attempt in ("first", "second"):
        result = trial.back_up()
        assert result.error is None, f"the {attempt} backup failed: {result.error}"
        names = [entry.name for entry in trial.entries()]
        assert names == sorted(set(names), key=order), (
            "the files that the stage gives are not in the order of the index, or come twice:"
            " sort with vault.archive.format.order"
        )
        with_stage = trial.restore(f"{attempt}-with")
        trial.restore(f"{attempt}-without", added=False)
        restored, plain = (
            tree_of(str(folder / f"{attempt}-{which}")) for which in ("with", "without")
        )
        assert restored == plain, "a restore without the stage writes other files than one with it"
        assert not with_stage.lost, f"files are lost: {with_stage.lost}"
        (trial.source / "new").write_bytes(b"new in the second backup")
