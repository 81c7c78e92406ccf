"""Every stage kind there is. A new one is a file, a line here, and a row in the contract suite."""

from __future__ import annotations

from stages.catch_up import CatchUp
from stages.chunk import ChunkStage
from stages.collect import Collect
from stages.command import Command
from stages.compress import Compress
from stages.confirm import Confirm
from stages.containers import Containers
from stages.encrypt import Encrypt
from stages.pack import Pack
from stages.prune import Prune
from stages.spool import SpoolStage
from stages.survey import Survey
from stages.upload import Upload

KINDS = (
    Survey,
    Collect,
    ChunkStage,
    Pack,
    Compress,
    Encrypt,
    SpoolStage,
    CatchUp,
    Upload,
    Confirm,
    Prune,
    Command,
    Containers,
)

PLANNED = {
    Command: "run commands before and after a backup",
    Containers: "stop and start containers",
}
"""Kinds that this version plans but does not run: a backup that needs one is refused."""
