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
    """None if the stage has no inverse; reversing a graph then drops it."""
    backwards: ClassVar[str] = ""
    """Name of the inverse in a plan, for example `decrypt` for `encrypt`."""

    def forward(self, items: Iterator[Any], run: Run) -> Iterator[Any]:
        """Turn `items` into what the stage gives."""
        raise NotImplementedError

    def describe(self, *, backwards: bool = False) -> str:  # noqa: ARG002 (for overriding)
        """Return a short description, for a plan, of what the stage does with its parameters."""
        return ", ".join(
            f"{name} {value}" for name, value in self.model_dump(exclude_defaults=True).items()
        )


class Link(Stage):
    """Stage that passes on what it takes, of any type; the graph infers the type.

    It may add items of that type, drop some, or work once its input has ended. If nothing feeds it,
    it starts a chain without items.
    """


class Scope(Link):
    """Something held while other stages run; reversed, it is its own mirror image.

    In a document it is two links. The first acquires once its input has ended. The second
    `releases` the first: it reads its input to the end, releases, then passes on what it read. Once
    `acquire` has begun, `release` runs exactly once, whatever happens. Its error is the outcome of
    its own stage only: the items still pass on.
    """

    read_ahead: ClassVar[int] = 0
    """Total weight of items that the releasing link may hold back; items beyond that pass on."""
    release_provides: ClassVar[tuple[type, ...]] = ()
    """Types that the releasing link provides."""

    def acquire(self, run: Run) -> None:
        """Acquire what the scope holds."""
        raise NotImplementedError

    def release(self, run: Run) -> None:
        """Release what the scope holds."""
        raise NotImplementedError

    def weight(self, item: Any) -> int:  # noqa: ARG002 (for overriding)
        """Return what an item counts against `read_ahead`."""
        return 1

    def describe_release(self) -> str:
        """Return a short description, for a plan, of what the release does."""
        return "let go"

    def inverse(self, items: Iterator[Any], run: Run) -> Iterator[Any]:
        """Unused: the wiring acquires and releases in both directions. None if it has no mirror."""
        raise NotImplementedError


class FanOut(Stage):
    """Stage that feeds several branches, each in its own thread and at its own pace.

    `forward` consumes what it takes and yields nothing; each branch reads from `branch`.
    """

    def branch(self, run: Run) -> Iterator[Any]:
        """Yield all items to one branch, waiting for more; `run.check` may raise to end that."""
        raise NotImplementedError
