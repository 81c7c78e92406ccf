"""All stage kinds: the built-in ones, and those that other packages add.

A new built-in kind is a file, a line in KINDS, and a row in the contract suite. A package adds a
kind through an entry point of the group `packrat.stages`: its name is the name of the kind, its
value the class. Entry points are only looked up for a kind that is not built in, since reading the
metadata of all packages takes time (docs/plugins.md).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from stages.base import ChooseBase
from stages.catch_up import CatchUp
from stages.chunk import ChunkStage
from stages.collect import Collect
from stages.command import Command, Commands, PostRestore
from stages.compress import Compress
from stages.confirm import Confirm
from stages.containers import Containers
from stages.dump import DumpStage
from stages.encrypt import Encrypt
from stages.foreign import load, packages
from stages.gather import Gather
from stages.locate import Locate
from stages.pack import Pack
from stages.preflight import Preflight
from stages.prove_dumps import ProveDumps
from stages.prune import Prune
from stages.select import Select
from stages.set_aside import SetAside
from stages.source_stage import Source
from stages.spool import SpoolStage
from stages.survey import Survey
from stages.undo import Undo
from stages.upload import Upload
from stages.verify import Verify
from stages.warm import Warm

if TYPE_CHECKING:
    from collections.abc import Iterable

    from engine.stage import Stage

KINDS: tuple[type[Stage], ...] = (
    Preflight,
    Survey,
    ChooseBase,
    Source,
    DumpStage,
    SetAside,
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
    ProveDumps,
    Undo,
    Select,
    Locate,
)

BUILT_IN = frozenset(kind.kind for kind in KINDS)
"""Names of the built-in kinds."""


def kinds_for(names: Iterable[object]) -> tuple[type[Stage], ...]:
    """Return the built-in kinds, and those of other packages that are among `names`.

    A name without a kind is left out. Raises UnusableKind for a kind that cannot be loaded.
    """
    texts = dict.fromkeys(name for name in names if isinstance(name, str))
    foreign = [name for name in texts if name not in BUILT_IN]
    if not foreign:
        return KINDS
    known = packages(BUILT_IN)
    return KINDS + tuple(load(known[name]) for name in foreign if name in known)


def foreign_names() -> list[str]:
    """Return the names of the kinds that other packages add, without loading them."""
    return sorted(packages(BUILT_IN))


def all_kinds() -> tuple[type[Stage], ...]:
    """Return every installed kind; raises UnusableKind for one that cannot be loaded."""
    return kinds_for(foreign_names())
