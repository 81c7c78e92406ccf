"""Recovery sheet, to be printed and kept for the loss of this machine."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from packrat.text.layout import wrap
from packrat.text.report import columns_of
from specs.faults import printable

if TYPE_CHECKING:
    from specs.config import Config
    from vault.archive.keys import Keys

SHEET = """\
PACKRAT RECOVERY SHEET. Print it, and keep it away from this machine. No secret is on it.

  key id        {key_id}
  salt          {salt}
  derived by    Argon2id, {memory} MiB, {passes} passes, {lanes} lanes
  services      {services}
  destinations  {destinations}

The salt is also at the head of every backup: the password and one destination are enough.

On a bare machine:
  1. Install packrat. Write a configuration with these services and destinations, and the credentials of the destination.
  2. packrat rekey        asks for the password, and recreates the key file
  3. packrat restore      asks for the rest

Without packrat, on Debian, with a copy of the folder of one service:
  apt-get install python3-cryptography python3-zstandard python3-argon2
  python3 rescue.py FOLDER/NEWEST.packrat TARGET
Print rescue.py with `packrat rescue --print`, and keep it with the backups.

Without the password, nobody can restore anything."""  # noqa: E501 (broken when it is printed)
WIDTH = 78
"""Columns of a sheet of paper, and of most terminals."""


def recovery_sheet(config: Config, keys: Keys) -> str:
    """Return the sheet, which contains no secret, with its lines broken at words."""
    derivation = keys.password_slot.derivation
    places = [f"{name}: {spec.where}" for name, spec in config.destinations().items()]
    text = SHEET.format(
        key_id=keys.key_id.hex(),
        salt=derivation.salt.hex(),
        memory=derivation.memory // 1024,
        passes=derivation.passes,
        lanes=derivation.lanes,
        services=printable(", ".join(config.services)),
        destinations=f"\n{'':16}".join(map(printable, places)),
    )
    width = min(columns_of(sys.stdout) or WIDTH, WIDTH)
    return "\n".join(part for line in text.split("\n") for part in wrap(line, width))
