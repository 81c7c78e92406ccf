"""Facts and resources that the program gives each kind of job."""

from __future__ import annotations

from stages.facts import (
    CommandLog,
    DowntimeClock,
    Job,
    RestoreJob,
    ScratchFolder,
    Secrets,
    StateFolder,
    Stores,
)
from stages.in_place.staging import Staging
from stages.journal import Journal
from stages.replicas import Replicas
from stages.restore_target.target import Target
from stages.service.container_lock import ContainerLocks
from stages.source.roots import HeldRoots, Roots
from stages.spool_folder import SpoolFolder
from vault.archive.keys import Keys
from vault.catalog.cache import CatalogCache
from vault.catalog.record import Record

_CATALOG = (Job, Keys, Stores, CatalogCache, Record, SpoolFolder)
_SERVICE = (
    Journal,
    Secrets,
    CommandLog,
    DowntimeClock,
    StateFolder,
    ScratchFolder,
    ContainerLocks,
)

GIVEN: dict[str, tuple[type, ...]] = {
    "backup": (*_CATALOG, *_SERVICE),
    "prune": _CATALOG,
    "verify": (*_CATALOG, ScratchFolder),
    "restore": (RestoreJob, Replicas, Keys, Target, Staging, Roots, *_SERVICE),
    "undo": (Roots, HeldRoots, *_SERVICE),
}
"""Name of a job -> types that its stages need not provide."""
