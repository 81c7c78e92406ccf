"""All built-in stage kinds. A new one is a file, a line here, and a row in the contract suite."""

from __future__ import annotations

from stages.base import ChooseBase
from stages.catch_up import CatchUp
from stages.chunk import ChunkStage
from stages.collect import Collect
from stages.command import Command, Commands, PostRestore
from stages.compress import Compress
from stages.confirm import Confirm
from stages.containers import Containers
from stages.encrypt import Encrypt
from stages.gather import Gather
from stages.locate import Locate
from stages.pack import Pack
from stages.prune import Prune
from stages.select import Select
from stages.source_stage import Source
from stages.spool import SpoolStage
from stages.survey import Survey
from stages.undo import Undo
from stages.upload import Upload
from stages.verify import Verify
from stages.warm import Warm

KINDS = (
    Survey,
    ChooseBase,
    Source,
    Warm,
    Collect,
    Gather,
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
    Commands,
    PostRestore,
    Containers,
    Verify,
    Undo,
    Select,
    Locate,
)
