"""Meaning of the exceptions of the operating system, fsspec and its filesystems."""

from __future__ import annotations

import errno

from vault.store.faults import FULL, REFUSED, Fault, Table

_HINTS = {
    errno.ENOSPC: FULL,
    errno.EDQUOT: "the quota there is used up; what was stored before is untouched",
    errno.EROFS: "it is mounted read-only: look at its disk, then mount it read-write",
    errno.EACCES: REFUSED,
    errno.EPERM: REFUSED,
    errno.EIO: "its disk reports errors: look at the kernel's log",
}
_AWAY = Fault("{error}", "is the server up, and the URL right?", retry=True)

FAULTS: Table = {
    "builtins.FileNotFoundError": Fault(missing=True),
    "builtins.PermissionError": Fault("permission denied: {error}", REFUSED),
    "builtins.TimeoutError": Fault("no answer", "is the server up?", retry=True, silent=True),
    "builtins.ConnectionError": _AWAY,
    "builtins.OSError": Fault(),
    "builtins.ImportError": Fault(
        "a library is missing: {error}", "install it beside packrat, in the same environment"
    ),
    "builtins.ValueError": Fault("{error}", "is the URL right, and are the options?"),
    "builtins.TypeError": Fault("{error}", "are the options right?"),
    "builtins.Exception": Fault("{kind}: {error}", "try it with: packrat check --connect"),
    "fsspec.exceptions.FSTimeoutError": Fault(
        "no answer", "is the server up?", retry=True, silent=True
    ),
    "fsspec.exceptions.BlocksizeMismatchError": Fault("{error}"),
    # WebDAV: its client raises httpx's exceptions.
    "httpx.TransportError": _AWAY,
    "webdav4.client.ResourceNotFound": Fault(missing=True),
    "webdav4.client.InsufficientStorage": Fault("its disk is full", FULL),
    "webdav4.client.ForbiddenOperation": Fault("the server forbids it: {error}", REFUSED),
    "webdav4.client.ResourceLocked": Fault("the file is locked", retry=True),
    "webdav4.client.BadGatewayError": _AWAY,
    "webdav4.client.HTTPError": Fault(
        "the server says: {error}", "is the URL right, and are user and password?"
    ),
    "webdav4.multistatus.MultiStatusResponseError": Fault("the server says: {error}"),
    "webdav4.client.ClientError": Fault("{error}", "is the URL right?"),
}


def os_fault(error: BaseException) -> Fault | None:
    """Return the meaning of an error of the operating system, by its number."""
    if not isinstance(error, OSError) or not error.errno or isinstance(error, FileNotFoundError):
        return None
    if type(error).__module__ != "builtins":
        return None
    if isinstance(error, ConnectionError | TimeoutError):
        return None
    return Fault(_literal(error.strerror or str(error)), _HINTS.get(error.errno, Fault().hint))


def _literal(text: str) -> str:
    return text.replace("{", "{{").replace("}", "}}")
