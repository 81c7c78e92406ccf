"""Store on an asynchronous fsspec filesystem with an event loop of its own."""

from __future__ import annotations

from abc import abstractmethod
from typing import TYPE_CHECKING, Any, TypeVar

from vault.store.base import Check, Properties, never
from vault.store.calls import Loop, patience
from vault.store.fs import FsspecStore

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

Result = TypeVar("Result")


class AsyncStore(FsspecStore):
    """Can run coroutines of its filesystem, which can be cancelled in the middle of a transfer."""

    def __init__(self, name: str, root: str, properties: Properties) -> None:
        super().__init__(name, root, self.connect, properties)
        self._loop: Loop | None = None

    @abstractmethod
    def connect(self) -> Any:
        """Make the filesystem, which must use `self.loop`; called in a thread that may block."""

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """The event loop of this store; filesystems that share fsspec's wait for each other."""
        if self._loop is None:
            self._loop = Loop()
        return self._loop.loop

    def run(
        self,
        action: str,
        work: Callable[[Any], Coroutine[Any, Any, Result]],
        check: Check = never,
        size: int = 0,
    ) -> Result:
        """Run `work(filesystem)` with patience for `size` bytes; raises VaultError only."""
        filesystem = self.connected(action, check)
        with self.guarded(action, filesystem):
            assert self._loop
            return self._loop.run(work(filesystem), patience(size), check)
