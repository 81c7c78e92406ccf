"""What a stage is: typed, immutable, and able to go both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run


class Stage(BaseModel):
    """One step of a pipeline. Its fields are its parameters in the pipeline spec.

    `takes` and `gives` name the item types that flow in and out; a stage that takes nothing starts
    a chain, an edge to it only orders. `forward` and `inverse` are plain generators: `forward`
    turns `takes` into `gives`, `inverse` turns `gives` back into `takes`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    takes: ClassVar[type | None] = None
    gives: ClassVar[type | None] = None
    may_begin: ClassVar[bool] = False
    """What it takes need not come: without a feeder it starts a chain."""
    patient: ClassVar[bool] = False
    """Has work to do before what it comes after, its feeder aside; calls `run.join` then."""
    itemwise: ClassVar[bool] = False
    """`inverse` takes each item by itself, and nothing but what it reads of the context; so it may
    go on in other processes: where, says the stage that takes what it gives, from a `Stream`."""
    always: ClassVar[bool] = False
    """Runs also when what it waits for has failed."""

    inverse: ClassVar[Any] = None
    """None: there is no way back, and reversal drops the stage."""
    backwards: ClassVar[str] = ""
    """What the way back is called in a plan, such as `decrypt` for `encrypt`."""

    def forward(self, items: Iterator[Any], run: Run[Any]) -> Iterator[Any]:
        """Turn each of `items` into what comes next."""
        raise NotImplementedError

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002 (for overriding)
        """Say in a few words what the stage does with its parameters, for a plan."""
        return ", ".join(
            f"{name} {value}" for name, value in self.model_dump(exclude_defaults=True).items()
        )


class Scope(Stage):
    """Something held while other stages run, and its own mirror image in reverse.

    In a spec it is two nodes: the one that acquires and the one that `releases` it. `release`
    runs once `acquire` has begun, also when `acquire` fails halfway.
    """

    one_way: ClassVar[bool] = False
    """It has no mirror image, and reversal drops it."""

    def acquire(self, run: Run[Any]) -> None:
        """Take hold."""
        raise NotImplementedError

    def release(self, run: Run[Any]) -> None:
        """Let go; called exactly once after `acquire` has begun."""
        raise NotImplementedError

    def describe_release(self) -> str:
        """Say in a few words what letting go does, for a plan."""
        return "let go"


class FanOut(Stage):
    """The stage that feeds several branches, each in a thread of its own, at its own pace.

    `forward` consumes what it takes and gives nothing directly; each branch reads `branch`.
    """

    def branch(self, run: Run[Any]) -> Iterator[Any]:
        """Give the items from the first on, waiting for more; `run.check` ends the waiting."""
        raise NotImplementedError
