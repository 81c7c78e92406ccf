"""Store on an asynchronous fsspec filesystem with an event loop of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from vault.store.base import Check, never
from vault.store.calls import Loop, patience
from vault.store.fs import FsspecStore

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Coroutine

Result = TypeVar("Result")


class AsyncStore(FsspecStore):
    """Store that runs coroutines of its filesystem, which can be cancelled during a transfer.

    The filesystem that `connect` returns must use `loop`.
    """

    _loop: Loop | None = None

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        """Event loop of this store; filesystems that share fsspec's loop wait for each other."""
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
        """Run `work(filesystem)` with a time limit for `size` bytes; raises VaultError only."""
        filesystem = self.connected(action, check)
        with self.guarded(action, filesystem):
            assert self._loop
            return self._loop.run(work(filesystem), patience(size), check)
