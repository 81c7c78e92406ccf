"""Store at a URL of fsspec: WebDAV, SMB, Google Cloud Storage, Azure, and others."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from vault.store.base import Properties
from vault.store.fs import FsspecStore

if TYPE_CHECKING:
    from collections.abc import Mapping

    from fsspec import AbstractFileSystem

PROPERTIES = {
    "memory": Properties(atomic_rename=False),
    "sftp": Properties(),
    "smb": Properties(),
    "webdav": Properties(atomic_rename=False, streams_writes=False),
}
UNKNOWN = Properties(atomic_rename=False)
"""By protocol. In an object store, and in a protocol not listed here, `mv` copies and deletes."""


class UrlStore(FsspecStore):
    """Store that ignores fsspec's own configuration (FSSPEC_… variables, ~/.config/fsspec)."""

    def __init__(self, name: str, url: str, options: Mapping[str, Any]) -> None:
        """Add `options`, the arguments of the filesystem, to those in the URL."""
        self._url, self._options = url, dict(options)
        parts = urlsplit(url)
        where = parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")
        properties = PROPERTIES.get(parts.scheme, UNKNOWN)
        super().__init__(name, where.geturl(), properties)

    def connect(self) -> AbstractFileSystem:
        """Return a new filesystem, and set the path of the root in it."""
        import fsspec
        from fsspec.config import conf

        conf.clear()
        made, self.base = fsspec.url_to_fs(self._url, skip_instance_cache=True, **self._options)
        return made
