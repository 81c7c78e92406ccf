"""Change of a configuration file, which is validated before it replaces the file."""

from __future__ import annotations

import difflib
import os
import tempfile
from contextlib import suppress
from typing import TYPE_CHECKING

import yaml
from msgspec import Struct, structs

from specs.document import read_document
from specs.faults import ConfigFaults, Fault
from specs.insert_services import NotInsertable, insert_services
from specs.load import load_config

if TYPE_CHECKING:
    from collections.abc import Sequence

    from specs.insert_services import NewService


class Rewrite(Struct, frozen=True):
    """New content of a configuration file."""

    file: str
    before: bytes
    after: bytes
    added: tuple[NewService, ...]

    def diff(self) -> list[str]:
        """Return the change as the lines of a unified diff."""
        before, after = (text.decode().splitlines() for text in (self.before, self.after))
        return list(difflib.unified_diff(before, after, self.file, self.file, lineterm="", n=2))

    def write(self) -> None:
        """Replace the file atomically, with the same owner and mode.

        Raises:
            ConfigFaults: The new content is not valid, or somebody has changed the file meanwhile.
                It is unchanged then.
            OSError: It cannot be written.
        """
        target = os.path.realpath(self.file)
        status = os.stat(target)
        number, new = tempfile.mkstemp(".yaml", ".packrat-", os.path.dirname(target))
        try:
            with open(number, "wb") as written:
                if (status.st_uid, status.st_gid) != (os.geteuid(), os.getegid()):
                    os.fchown(number, status.st_uid, status.st_gid)
                os.fchmod(number, status.st_mode & 0o7777)
                written.write(self.after)
                written.flush()
                os.fsync(number)
            self._check(new)
            with open(target, "rb") as present:
                if present.read() != self.before:
                    raise _refusal(self.file, "was changed meanwhile", "run the command again")
            os.replace(new, target)
        finally:
            with suppress(FileNotFoundError):
                os.unlink(new)

    def _check(self, new: str) -> None:
        """Require that the new file is valid, and differs by the added services only."""
        try:
            load_config(new)
        except ConfigFaults as error:
            faults = [
                structs.replace(one, file=self.file) if one.file == new else one
                for one in error.faults
            ]
            raise ConfigFaults(faults) from None
        before, after = read_document(self.file).data, read_document(new).data
        services = before["services"] | {one.name: one.settings for one in self.added}
        if after != before | {"services": services}:
            raise _not_insertable(self.file)


def add_services(file: str, services: Sequence[NewService]) -> Rewrite:
    """Return the change that adds services to a configuration; raises ConfigFaults, OSError."""
    with open(file, "rb") as stream:
        before = stream.read()
    try:
        text = before.decode()
        after = insert_services(text.removeprefix("\ufeff"), services)
    except (NotInsertable, UnicodeDecodeError, yaml.YAMLError):
        raise _not_insertable(file) from None
    mark = "\ufeff" if text.startswith("\ufeff") else ""
    return Rewrite(file, before, f"{mark}{after}".encode(), tuple(services))


def _not_insertable(file: str) -> ConfigFaults:
    hint = "write them by hand, or write `services:` as a block of its own"
    return _refusal(file, "has no `services:` to which services could be added", hint)


def _refusal(file: str, message: str, hint: str) -> ConfigFaults:
    return ConfigFaults([Fault(file, 0, 0, "", message, hint)])
