"""Journal of what must be put back when a run dies, written before anything is changed.

One small file per service, `<state_dir>/journal/<service>.json`: the stages that hold something,
each with its parameters and what it found. It is fsynced before the first container is stopped, and
deleted once everything is as it was. A run is dead when its lock can be taken; the file is only
read then.
"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Stage
from stages.errors import SourceError
from stages.state_file import replace_file
from vault.durable import sync_folder

if TYPE_CHECKING:
    from collections.abc import Callable

    from stages.facts import CommandLog
    from stages.service.container_lock import ContainerLocks


class Journaled(Stage):
    """Stage whose work another process can take back when the one that did it has died."""

    guards: ClassVar[bool] = False
    """Later changes can only be put back while this stage holds."""

    def put_back(
        self,
        found: dict[str, Any],
        secret: Callable[[Any], str],
        locks: ContainerLocks,
        log: CommandLog,
    ) -> str:
        """Put things back and return a sentence about it; raises SourceError.

        Args:
            found: What was noted in the journal.
            secret: Resolves the reference to a secret.
            locks: Takes the locks of containers; the caller releases them.
            log: Log of the service's commands.
        """
        raise NotImplementedError

    def stand_still(self, found: dict[str, Any], locks: ContainerLocks) -> None:
        """Stop what may use the service's files until `put_back` starts it; raises SourceError."""


class Journal:
    """Record of what one service's run has changed and must put back."""

    def __init__(self, state_dir: str, service: str) -> None:
        self.service = service
        self._folder = os.path.join(state_dir, "journal")
        self.file = os.path.join(self._folder, f"{service}.json")
        self._held: dict[str, dict[str, Any]] = {}

    def note(self, stage: str, holder: Journaled, found: dict[str, Any]) -> None:
        """Record what is about to be changed; raises SourceError if that fails.

        `found` is plain data: what is needed to put things back.
        """
        note = {"kind": holder.kind, "params": holder.model_dump(mode="json"), "found": found}
        self._write(self._held | {stage: note}, "nothing is stopped or moved without it")

    def found(self, stage: str) -> dict[str, Any] | None:
        """Return what a stage noted, None if it holds nothing."""
        note = self._held.get(stage)
        return note["found"] if note else None

    def done(self, stage: str) -> None:
        """Delete the note of a stage: everything is as it should be."""
        if stage in self._held:
            held = {name: note for name, note in self._held.items() if name != stage}
            self._write(held, "what it names was put back, and the next command detects that")

    def recall(self) -> dict[str, dict[str, Any]]:
        """Return what a dead run left: stage -> {kind, params, found}, in the order of acquisition.

        Raises SourceError if the file exists and cannot be read.
        """
        try:
            with open(self.file, encoding="utf-8") as file:
                self._held = dict(json.load(file))
        except FileNotFoundError:
            self._held = {}
        except (OSError, ValueError, TypeError) as error:
            raise SourceError(
                f"the journal {self.file} cannot be read: {error}",
                "see that the service's containers run and that its files are in place, then"
                " delete that file",
            ) from None
        return dict(self._held)

    def _write(self, held: dict[str, dict[str, Any]], why: str) -> None:
        try:
            if held:
                replace_file(self.file, json.dumps(held).encode())
            else:
                os.unlink(self.file)
                sync_folder(self._folder)
        except OSError as error:
            raise SourceError(
                f"cannot write the journal {self.file}: {error.strerror}",
                f"{why}; make room, or correct state_dir",
            ) from error
        self._held = held


def journals(state_dir: str) -> list[str]:
    """Return the services that have a journal."""
    try:
        names = sorted(os.listdir(os.path.join(state_dir, "journal")))
    except OSError:
        return []
    return [name.removesuffix(".json") for name in names if name.endswith(".json")]
