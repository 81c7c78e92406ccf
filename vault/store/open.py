"""Stores with all their wrappers, from plain settings."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from vault.store.retrying import Retrying
from vault.store.throttled import Throttled

if TYPE_CHECKING:
    from collections.abc import Mapping

    from vault.store.base import Store
    from vault.store.sftp_login import Login


def open_local(name: str, path: str, limit: int | None = None) -> Store:
    """Return the store in a local folder. `limit` is the highest write rate in bytes per second."""
    from vault.store.local import Local

    return _limited(Local(name, path), limit)


def open_s3(name: str, bucket: str, path: str, limit: int | None = None, **server: Any) -> Store:
    """Return the store in a bucket; `server` are arguments of `S3`."""
    from vault.store.s3 import S3

    return _limited(Retrying(S3(name, bucket, path, **server)), limit)


def open_sftp(name: str, path: str, login: Login, limit: int | None = None) -> Store:
    """Return the store behind an SSH server."""
    from vault.store.sftp import Sftp

    return _limited(Retrying(Sftp(name, path, login)), limit)


def open_fsspec(name: str, url: str, options: Mapping[str, Any], limit: int | None = None) -> Store:
    """Return the store at any URL of fsspec. `options` are arguments of its filesystem."""
    from vault.store.url import UrlStore

    return _limited(Retrying(UrlStore(name, url, options)), limit)


def _limited(store: Store, limit: int | None) -> Store:
    return Throttled(store, limit) if limit else store
