"""Errors of the vault. Exceptions of a library become one of these where it is called.

VaultError
├── KeyFileError   the key file is missing, readable by others, or not a key file
├── WrongKey       the password or key is not the one that sealed this
├── Damaged        bytes are not what packrat wrote; says which file, and where
├── NotThere       no such backup, archive or path
└── Away           a destination does not answer, is full, refuses, or has lost what it held
    ├── Retryable      another attempt may succeed
    └── UnknownHost    a server shows a host key that nobody has accepted
"""

from __future__ import annotations


class VaultError(Exception):
    """Error with what failed and where (`str(error)`), and what to do next (`hint`)."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


class KeyFileError(VaultError):
    """Key file that cannot be used."""


class WrongKey(VaultError):  # noqa: N818 (the field's words)
    """Archive sealed under another key."""


class Damaged(VaultError):  # noqa: N818
    """Archive with other bytes than were written."""

    def __init__(self, archive: str, where: str, hint: str = "") -> None:
        super().__init__(
            f"{archive}: {where}",
            hint
            or "restore from another destination (--from) or another backup;"
            " packrat backup makes a new one",
        )
        self.archive = archive


class NotThere(VaultError):  # noqa: N818
    """Backup, archive or path that does not exist."""


class Away(VaultError):  # noqa: N818
    """Destination that cannot be used now."""


class Retryable(Away):
    """Fault of a destination that another attempt may get past."""

    silent = False
    """No answer within the time limit: a silent server usually stays silent."""


class UnknownHost(Away):
    """Server with a host key that has not been accepted yet."""

    fingerprint = ""
    line = ""
    """Line for a known_hosts file that accepts the key; empty if there is nothing to accept."""
