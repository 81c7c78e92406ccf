"""The errors of the vault. Foreign exceptions become one of these at the border of each library.

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
    """What failed and where (`str(error)`), and what to do next (`hint`)."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        """Come out of another process as it went in, however it is made."""
        return _again, (type(self), self.args, self.__dict__)


def _again(kind: type[VaultError], args: tuple[str, ...], state: dict[str, object]) -> VaultError:
    error = kind.__new__(kind, *args)
    error.__dict__.update(state)
    return error


class KeyFileError(VaultError):
    """The key file cannot be used."""


class WrongKey(VaultError):  # noqa: N818 (the field's words)
    """Sealed under another key."""


class Damaged(VaultError):  # noqa: N818
    """An archive is not what was written."""

    def __init__(self, archive: str, where: str, hint: str = "") -> None:
        super().__init__(
            f"{archive}: {where}",
            hint or "restore from another destination (--from), or from an older backup",
        )
        self.archive = archive


class NotThere(VaultError):  # noqa: N818
    """What was asked for does not exist."""


class Away(VaultError):  # noqa: N818
    """A destination cannot be used now."""


class Retryable(Away):
    """A fault of a destination that another attempt may get past."""

    silent = False
    """Nothing was answered within the time: a server that is silent mostly stays silent."""


class UnknownHost(Away):
    """A server shows a host key that nobody has accepted yet."""

    fingerprint = ""
    line = ""
    """What to write into a known_hosts file to accept it; empty when there is nothing to accept."""
