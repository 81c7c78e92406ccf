"""What can go wrong at the source or at the target of a restore."""

from __future__ import annotations


class SourceError(Exception):
    """The source cannot be backed up as it is; `hint` says what to do next."""

    def __init__(self, what: str, hint: str = "") -> None:
        super().__init__(what)
        self.hint = hint


class TargetError(SourceError):
    """The target cannot take what is to be restored."""
