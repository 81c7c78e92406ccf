"""File that is put into a container, also while it is stopped."""

from __future__ import annotations

import os
import tarfile
from typing import TYPE_CHECKING, BinaryIO

if TYPE_CHECKING:
    from collections.abc import Iterator

    from stages.service.docker import DockerEngine

MODE = 0o644
"""Docker gives such a file to root: servers with other users must be able to read it."""
BLOCK_BYTES = 1 << 20


def put_file(engine: DockerEngine, container: str, folder: str, name: str, data: BinaryIO) -> None:
    """Write an open file into a folder of a container; raises SourceError."""
    engine.put(container, folder, _tar(name, data))


def _tar(name: str, data: BinaryIO) -> Iterator[bytes]:
    """Yield a tar archive of one file, without a temporary file."""
    size = data.seek(0, os.SEEK_END)
    data.seek(0)
    info = tarfile.TarInfo(name)
    info.size, info.mode = size, MODE
    yield info.tobuf(tarfile.GNU_FORMAT)
    while block := data.read(BLOCK_BYTES):
        yield block
    yield bytes(-size % tarfile.BLOCKSIZE + 2 * tarfile.BLOCKSIZE)
