"""Stages: typed, immutable steps of a pipeline that can run both ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import BaseModel, ConfigDict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from engine.run import Run


class Stage(BaseModel):
    """One step of a pipeline. Its fields are its parameters in the pipeline document.

    Everything that passes between two stages passes through a declared port:

    - *Items*: `takes` and `gives` are the types of the items that flow in and out. A stage that
      takes nothing starts a chain; an edge to it only orders.
    - *Facts*: values that are set once, such as the report of a stage. *Resources*: open things
      with an owner that closes them, such as a file. Both are found by their type. `needs` lists
      what the stage cannot run without, `uses` the defaults of what it can run without, `provides`
      what it sets or opens. Each has one provider among the stages before the one that asks.

    `forward` and `inverse` are plain generators: `forward` turns `takes` into `gives`, `inverse`
    turns `gives` back into `takes`. Facts are declared for each direction; reversing a graph does
    not swap them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: ClassVar[str]
    takes: ClassVar[type | None] = None
    gives: ClassVar[type | None] = None
    needs: ClassVar[tuple[type, ...]] = ()
    uses: ClassVar[tuple[Any, ...]] = ()
    provides: ClassVar[tuple[type, ...]] = ()
    inverse_needs: ClassVar[tuple[type, ...]] = ()
    inverse_uses: ClassVar[tuple[Any, ...]] = ()
    inverse_provides: ClassVar[tuple[type, ...]] = ()

    inverse: ClassVar[Any] = None
    """None: the stage has no way back, and reversing a graph drops it."""
    backwards: ClassVar[str] = ""
    """Name of the inverse in a plan, for example `decrypt` for `encrypt`."""

    def forward(self, items: Iterator[Any], run: Run) -> Iterator[Any]:
        """Turn `items` into what the stage gives."""
        raise NotImplementedError

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002 (for overriding)
        """Return a few words for a plan about what the stage does with its parameters."""
        return ", ".join(
            f"{name} {value}" for name, value in self.model_dump(exclude_defaults=True).items()
        )


class Link(Stage):
    """A stage that passes on what it takes, of whatever type; the graph infers it.

    It may add items of that type, drop some, or work once its input has ended. Without anything
    that feeds it, it starts a chain without items.
    """


class Scope(Link):
    """Something held while other stages run, and its own mirror image in reverse.

    In a document it is two links: the one that acquires, once its input has ended, and the one
    that `releases` it: that one reads its input to the end, releases, then passes on what it read.
    Whatever happens, `release` runs exactly once after `acquire` has begun, and its error is the
    outcome of its own stage only: items pass on.
    """

    read_ahead: ClassVar[int] = 0
    """Weight of the items that the releasing link may hold back; items beyond that pass on."""
    release_provides: ClassVar[tuple[type, ...]] = ()
    """What the releasing link provides."""

    def acquire(self, run: Run) -> None:
        """Take hold."""
        raise NotImplementedError

    def release(self, run: Run) -> None:
        """Let go."""
        raise NotImplementedError

    def weight(self, item: Any) -> int:  # noqa: ARG002 (for overriding)
        """Return what an item counts against `read_ahead`."""
        return 1

    def describe_release(self) -> str:
        """Return a few words for a plan about what letting go does."""
        return "let go"

    def inverse(self, items: Iterator[Any], run: Run) -> Iterator[Any]:
        """Unused: the wiring acquires and releases in both directions. None if it has no mirror."""
        raise NotImplementedError


class FanOut(Stage):
    """The stage that feeds several branches, each in a thread of its own, at its own pace.

    `forward` consumes what it takes and yields nothing; each branch reads from `branch`.
    """

    def branch(self, run: Run) -> Iterator[Any]:
        """Yield all items to one branch, waiting for more; `run.check` ends the waiting."""
        raise NotImplementedError
