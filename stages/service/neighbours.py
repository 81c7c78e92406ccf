"""Other running containers that a backup, or an exchange of files, affects."""

from __future__ import annotations

import os
from contextlib import suppress
from typing import TYPE_CHECKING

from stages.service.docker import NoContainer

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Iterator

    from stages.service.docker import Container, DockerEngine


def others(engine: DockerEngine, ids: Collection[str]) -> Iterator[Container]:
    """Yield all running containers but those of these ids; raises EngineAway."""
    for name in engine.running():
        with suppress(NoContainer):  # it has ended since
            if (container := engine.inspect(name)).id not in ids:
                yield container


def used_by(container: Container, folders: Iterable[str], *, writes: bool = False) -> str:
    """Return of which folders a container has something mounted, as a list for people; "" for none.

    With `writes`, of which it may write to something.
    """
    mounts = [one.source for one in container.mounts if one.source and (one.writable or not writes)]
    return ", ".join(one for one in folders if any(overlap(at, one) for at in mounts))


def restart_text(container: Container, path: str) -> str:
    """Return what to do about a container that goes on using files which are exchanged."""
    return (
        f"container {container.name} has something of {path} mounted and keeps running: it may"
        " still see the old files, and what it writes to those is not in the new ones; restart it"
        " afterwards, or name it in docker.containers"
    )


def overlap(one: str, other: str) -> bool:
    """Return whether one folder is the other, or is inside it."""
    one, other = os.path.realpath(one), os.path.realpath(other)
    return os.path.commonpath([one, other]) in (one, other)
