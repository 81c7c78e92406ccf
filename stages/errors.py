"""Errors at the source of a backup or at the target of a restore."""

from __future__ import annotations


class SourceError(Exception):
    """Error of a source that cannot be backed up as it is; `hint` says what to do next."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


class NotReady(SourceError):  # noqa: N818 (as the errors of containers are named)
    """Something does not run or answer, which may be over soon, as while a machine boots."""


class TargetError(SourceError):
    """Error of a target that cannot take what is to be restored."""
