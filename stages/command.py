"""Commands: a dump before a backup, its cleanup after it, and the loading after a restore."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Link, Scope
from stages.errors import SourceError
from stages.facts import CommandLog, Downtime, Dump, Secrets
from stages.journal import Journal, Journaled
from stages.service.container_lock import (
    LOCK_SECONDS,
    REPAIR_SECONDS,
    ContainerInUse,
    ContainerLocks,
)
from stages.service.docker import DockerEngine, EngineAway
from stages.service.shell import Shell
from stages.waiting import Waiting

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from contextlib import AbstractContextManager

    from engine.run import Run


class Command(Link, Shell):
    """Command that runs before anything is read; if it fails, so does the backup."""

    kind: ClassVar[str] = "command"
    needs: ClassVar[tuple[type, ...]] = (Secrets, CommandLog, ContainerLocks)
    provides: ClassVar[tuple[type, ...]] = (Dump,)

    def forward(self, items: Iterator[Any], run: Run) -> Iterator[Any]:
        """Pass the items on, then run the command; raises SourceError."""
        yield from items
        _dump(self, run)

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return the command's first line."""
        return self.headline


class Commands(Scope, Journaled):
    """Pair of commands before and after. The second runs in any case once the first has begun."""

    kind: ClassVar[str] = "commands"
    needs: ClassVar[tuple[type, ...]] = (Journal, Secrets, CommandLog, ContainerLocks)
    provides: ClassVar[tuple[type, ...]] = (Dump,)
    inverse: ClassVar[Any] = None

    first: Shell | None = None
    then: Shell

    def acquire(self, run: Run) -> None:
        """Run the first command; raises SourceError."""
        run.fact(Journal).note(run.scope, self, {})
        if self.first:
            _dump(self.first, run)
        else:
            run.provide(Dump())

    def release(self, run: Run) -> None:
        """Run the second command; raises SourceError."""
        try:
            _run(self.then, "post_backup", run, ends=False)
        except (EngineAway, ContainerInUse):  # it has not run, so the next command tries again
            raise
        except BaseException:  # it would fail again
            run.fact(Journal).done(run.scope)
            raise
        run.fact(Journal).done(run.scope)

    def put_back(
        self,
        _: dict[str, Any],
        secret: Callable[[Any], str],
        locks: ContainerLocks,
        log: CommandLog,
    ) -> str:
        """Run the second command for a dead run; one that fails is not tried again.

        Raises EngineAway, ContainerInUse and SecretFault.
        """
        died = "a run was killed between pre_backup and post_backup"
        try:
            with _locked(self.then, locks, REPAIR_SECONDS):
                self.then.run("post_backup", secret, log)
        except (EngineAway, ContainerInUse):  # it has not run, so the next run tries again
            raise
        except SourceError as error:
            return f"{died}: {error}; {error.hint}"
        return f"{died}: post_backup has run"

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Return the first line of the first command."""
        return self.first.headline if self.first else "nothing"

    def describe_release(self) -> str:
        """Return the first line of the second command."""
        return f"{self.then.headline}, whatever has happened"


class PostRestore(Link, Shell):
    """Command after an in-place restore, for example to load a dump; a backup ignores it."""

    kind: ClassVar[str] = "post_restore"
    backwards: ClassVar[str] = "post_restore"
    inverse_needs: ClassVar[tuple[type, ...]] = (Secrets, CommandLog, ContainerLocks)
    inverse_uses: ClassVar[tuple[Any, ...]] = (Downtime(),)

    def forward(self, items: Iterator[Any], run: Run) -> Iterator[Any]:  # noqa: ARG002
        """Pass the items on."""
        yield from items

    def inverse(self, items: Iterator[Any], run: Run) -> Iterator[Any]:
        """Pass the items on, then run the command; raises SourceError."""
        yield from items
        run.fact(Downtime)  # do not run it if the containers did not start again
        _run(self, "post_restore", run)

    def describe(self, *, backwards: bool = False) -> str:
        """Return the command's first line."""
        return self.headline if backwards else f"only after an in-place restore: {self.headline}"


def _dump(shell: Shell, run: Run) -> None:
    run.provide(Dump(_run(shell, "pre_backup", run)))


def _run(shell: Shell, what: str, run: Run, *, ends: bool = True) -> int:
    """Run a command with its container locked; return when it began, in nanoseconds since 1970.

    `ends`: the end of the run ends the command, too.
    """
    check = run.check if ends else lambda: None
    seconds = REPAIR_SECONDS if run.cancelled else LOCK_SECONDS

    def waiting(reason: str) -> None:
        run.emit(Waiting(run.stage, seconds, reason))

    with _locked(shell, run.fact(ContainerLocks), seconds, waiting, check):
        run.emit(Waiting(run.stage, shell.timeout))
        since = run.clock.now()
        shell.run(what, run.fact(Secrets).text, run.fact(CommandLog), check)
    return since


def _locked(shell: Shell, locks: ContainerLocks, *how: Any) -> AbstractContextManager[None]:
    """Keep other runs from stopping the container in which a command runs."""
    if shell.container is None:
        return nullcontext()
    return locks.during(DockerEngine(shell.host), shell.container, *how)
