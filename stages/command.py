"""Commands: a dump before a backup, what ends it after, and what loads it after a restore."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from engine.stage import Scope, Stage
from stages.errors import SourceError
from stages.journal import Journaled
from stages.service.docker import EngineAway
from stages.service.shell import Shell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from engine.run import Run
    from stages.session import BackupSession, RestoreSession, Session


class Command(Stage, Shell):
    """Runs before anything is read; if it fails, so does the backup."""

    kind: ClassVar[str] = "command"

    def forward(self, _: Iterator[Any], run: Run[BackupSession]) -> Iterator[Any]:
        """Run it; raises SourceError."""
        _dump(self, run)
        yield from ()

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Show the command's first line."""
        return self.headline


class Commands(Scope, Journaled):
    """One command before and one after, which runs whatever happened once the first has begun."""

    kind: ClassVar[str] = "commands"
    one_way: ClassVar[bool] = True

    first: Shell | None = None
    then: Shell

    def acquire(self, run: Run[BackupSession]) -> None:
        """Run the first; raises SourceError."""
        run.context.journal.note(run.stage, self, {})
        if self.first:
            _dump(self.first, run)

    def release(self, run: Run[Session]) -> None:
        """Run the second; raises SourceError."""
        session = run.context
        try:
            self.then.run("post_backup", session.secret, session.log)
        finally:  # a command that fails would fail again: the next run does not try it anew
            session.journal.done(run.stage)

    def put_back(self, _: dict[str, Any], secret: Callable[[Any], str]) -> str:
        """Run the second for a dead run, and say so; one that fails is not tried again.

        Raises EngineAway, SecretFault.
        """
        died = "a run died between pre_backup and post_backup"
        try:
            self.then.run("post_backup", secret)
        except EngineAway:  # it has not run: the next command tries again
            raise
        except SourceError as error:
            return f"{died}: {error}; {error.hint}"
        return f"{died}: post_backup has run"

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002
        """Show the first line of the first."""
        return self.first.headline if self.first else "nothing"

    def describe_release(self) -> str:
        """Show the first line of the second."""
        return f"{self.then.headline}, whatever has happened"


class PostRestore(Stage, Shell):
    """Runs after a restore in place, such as the loading of a dump; a backup passes it by."""

    kind: ClassVar[str] = "post_restore"
    backwards: ClassVar[str] = "post_restore"

    def forward(self, _: Iterator[Any], run: Run[BackupSession]) -> Iterator[Any]:  # noqa: ARG002
        """Do nothing."""
        yield from ()

    def inverse(self, _: Iterator[Any], run: Run[RestoreSession]) -> Iterator[Any]:
        """Run it; raises SourceError."""
        self.run("post_restore", run.context.secret, run.context.log, run.check)
        yield from ()

    def describe(self, *, backwards: bool = False) -> str:
        """Show the command's first line."""
        return self.headline if backwards else f"only after a restore in place: {self.headline}"


def _dump(shell: Shell, run: Run[BackupSession]) -> None:
    session = run.context
    session.guarded = True
    session.dumping = run.clock.now()
    shell.run("pre_backup", session.secret, session.log, run.check)
