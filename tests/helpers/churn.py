"""Simulation of a history: which units of a source each archive stores, and what destinations keep.

Retention and renewal are the real ones; only the bytes are counted instead of stored.
"""

import random
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from operator import ne

from vault.archive.format import ArchiveName, Referred, Summary, stamp
from vault.archive.lineage import Root
from vault.catalog.catalog import Catalog, Listed
from vault.catalog.renewal import renewable
from vault.catalog.retention import Policy, Reason, decide, expired
from vault.store.base import Stored
from vault.store.local import Local

DAY = 86_400
START = 1_767_225_600
UNITS = 1000
NOT_RETAINED = {Reason.NEEDED, Reason.RENEWED, Reason.OWED, Reason.EXPIRED}


@dataclass
class Day:
    """Figures of one destination on one day, in units."""

    stored: int
    distinct: int
    """Content of the retained backups, each version of a unit once."""
    plain: int
    """Bytes stored without renewal."""


@dataclass
class History:
    """Daily backups of a source in which a share of the units changes each day."""

    rules: dict
    changed: float = 0.01
    seed: int = 0
    days: int = 0
    catalogs: dict = field(default_factory=dict)
    figures: dict = field(default_factory=dict)

    def __post_init__(self):
        self.random = random.Random(self.seed)
        self.policies = {name: Policy(rules, "here") for name, rules in self.rules.items()}
        self.catalogs = {name: Catalog(Local(name, "/"), "svc") for name in self.rules}
        self.figures = {name: [] for name in self.rules}
        self.place = [0] * UNITS  # unit -> day whose archive stores its present version
        self.version = [0] * UNITS  # unit -> day of its last change
        self.versions, self.payloads, self.changes = {}, {}, {}
        self.names, self.differing = {}, {}

    def run(self, days):
        for _ in range(days):
            self.back_up()

    def back_up(self):
        """Make the backup of the next day, then prune and measure."""
        day = self.days
        self.days += 1
        now = START + day * DAY
        count = UNITS if day == 0 else int(UNITS * self.changed)
        written = set(self.random.sample(range(UNITS), count))
        self.changes[day] = count
        for unit in written:
            self.version[unit] = day
        first = next(iter(self.catalogs.values()))
        if first.listed:
            places = [(self.catalogs[name], self.policies[name]) for name in self.rules]
            renewed = {int(id_, 16) for id_ in renewable(first.listed[-1].summary, places, now)}
            written |= {unit for unit, place in enumerate(self.place) if place in renewed}
        for unit in written:
            self.place[unit] = day
        self.payloads[day], self.versions[day] = len(written), tuple(self.version)
        item = self._item(day, now)
        for name, catalog in self.catalogs.items():
            catalog.listed.append(item)
            fates = decide(catalog, self.policies[name])
            gone = {fate.listed.stored.name for fate in expired(fates)}
            catalog.listed = [one for one in catalog.listed if one.stored.name not in gone]
            retained = [
                int(fate.listed.summary.id, 16) for fate in fates if fate.reason not in NOT_RETAINED
            ]
            self.figures[name].append(self._measure(catalog, retained))

    def _item(self, day, now):
        used = Counter(self.place)
        summary = Summary(
            format=2,
            id=f"{day:032x}",
            service="svc",
            host="here",
            time=stamp(now),
            kind="incremental" if day else "full",
            parent=None,
            line="0" * 32,
            sequence=day + 1,
            barrier=0,
            roots=[Root("", "folder", "/")],
            entries=UNITS,
            files=UNITS,
            size=UNITS,
            read=0,
            payload=self.payloads[day],
            missed=0,
            normal=(UNITS, UNITS),
            archives=[
                Referred(f"{one:032x}", self.names[one], self.payloads[one], used[one])
                for one in sorted(used)
                if one != day
            ],
        )
        self.names[day] = str(ArchiveName("svc", stamp(now), f"{day:08x}"))
        return Listed(Stored(self.names[day], self.payloads[day]), summary)

    def _measure(self, catalog, retained):
        stored = sum(item.stored.size for item in catalog.listed)
        pairs = pairwise(retained)
        distinct = UNITS + sum(self._differing(*pair) for pair in pairs)
        plain = set().union(*(set(self.versions[day]) for day in retained)) | set(retained)
        return Day(stored, distinct, sum(self.changes[day] for day in plain))

    def _differing(self, a, b):
        """Return how many units have another version in backup `b` than in `a`."""
        if (a, b) not in self.differing:
            self.differing[a, b] = sum(map(ne, self.versions[a], self.versions[b]))
        return self.differing[a, b]
