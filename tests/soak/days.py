"""Simulated days of one service, with changes, kills, an absent destination and damage.

    python -m tests.soak.days --seed 1 --days 400 --files 200 --keep 14

After each backup and each verification, what it says is compared with the known state of the files:
no false alarm, and no damage or deletion missed, until somebody accepts it. Every ten days each
retained backup is restored from each destination, unless the damage that prevents it was named.
"""

import argparse
import contextlib
import hashlib
import io
import json
import random
import re
import shutil
import signal
import tempfile
import time
from collections import Counter, defaultdict
from pathlib import Path

from engine.run import Clock
from packrat.restore.choose import choose
from packrat.runs.accept import accept_history
from packrat.runs.backup import back_up
from packrat.text.progress import Detail
from packrat.verbs.verify import verify_share, verify_stored
from tests.helpers.forked import ended, forked, signalling
from tests.helpers.house import House
from tests.helpers.restoring import restore
from vault.errors import VaultError

START = 1_798_761_600
DAY = 86_400
NAME = r"svc-[0-9TZ]+-[0-9a-f]{8}\.packrat"
DESTINATIONS = ("one", "two")


def digest(path):
    return hashlib.sha256(path.read_bytes()).hexdigest()


def tree(root):
    return {str(path.relative_to(root)): digest(path) for path in root.rglob("*") if path.is_file()}


class Days:
    """One service, two destinations, and the true state of every file at them."""

    def __init__(self, root, seed, files, keep, **rules):
        more = {"settings": {"retain": {"last": keep} | rules}} if rules else {}
        self.house = House(root, DESTINATIONS, keep=keep, verify={"deep_percent": 25}, **more)
        self.chance = random.Random(seed)
        self.keep, self.day = keep, 0
        self.away = 0
        self.good: dict[str, str] = {}
        """Name of an archive -> digest of the published file."""
        self.there: dict[str, set[str]] = {name: set() for name in DESTINATIONS}
        self.source: dict[str, dict[str, str]] = {}
        """Name of an archive -> content of the source at that time."""
        self.deleted: dict[str, set[str]] = {name: set() for name in DESTINATIONS}
        self.flipped: set[str] = set()
        """Archives that were damaged somewhere, and may never have reached another place."""
        self.known: dict[str, set[str]] = {name: set() for name in DESTINATIONS}
        """Archives that a command that ended has listed; a killed one may have made others."""
        self.accepted: dict[str, set[str]] = {name: set() for name in DESTINATIONS}
        self.named: dict[str, set[str]] = defaultdict(set)
        """Destination -> archives whose damage or loss the last full verification named."""
        self.counts: Counter[str] = Counter()
        for number in range(files):
            path = self.house.source / f"d{number % 9}" / f"f{number}"
            path.parent.mkdir(exist_ok=True, parents=True)
            path.write_bytes(self.chance.randbytes(self.chance.randrange(100, 16_000)))

    def run(self, days):
        for _ in range(days):
            self.day += 1
            self.change()
            self.come_and_go()
            self.back_up()
            self.look()
            if self.day % 3 == 0:
                self.verify(due=True)
            if self.day % 5 == 0:
                self.verify(deep=self.day % 10 == 0)
            if self.day % 10 == 0:
                self.restore_all()
            if self.day % 30 == 0:
                self.accept()
            deleted = self.counts["deleted"]
            self.harm()
            if self.counts["deleted"] > deleted and self.chance.random() < 0.5:
                self.verify()  # before the next backup can bring it back

    # Events

    def change(self):
        """Change 2% of the files; sometimes add one and delete one."""
        files = sorted(path for path in self.house.source.rglob("f*") if path.is_file())
        for path in self.chance.sample(files, max(1, len(files) // 50)):
            path.write_bytes(self.chance.randbytes(self.chance.randrange(100, 16_000)))
        if self.chance.random() < 0.3:
            self.chance.choice(files).unlink()
            new = self.house.source / f"d{self.day % 9}" / f"f-new{self.day}"
            new.write_bytes(self.chance.randbytes(5000))

    def come_and_go(self):
        """Unmount the second destination for some days, and mount it again."""
        store = self.house.stores["two"]
        aside = store.with_name("two.away")
        if self.away:
            self.away -= 1
            if not self.away:
                shutil.rmtree(store, ignore_errors=True)
                aside.rename(store)
        elif store.exists() and self.chance.random() < 0.06:
            self.away = self.chance.randrange(1, 6)
            store.rename(aside)
            self.counts["away"] += 1

    def back_up(self):
        """Back up, sometimes killed; then the next run must succeed."""
        now = (START + self.day * DAY) * 10**9
        clock = Clock(now=lambda: now)
        if self.chance.random() < 0.08:
            listener = signalling(self.chance.randrange(1, 60), signal.SIGKILL)
            status = ended(
                forked(lambda: back_up(self.house.pipeline(), [listener], clock=clock).exit)
            )
            self.counts["killed"] += status == -signal.SIGKILL
            self.note_new()
            return
        due = {place: self.due(place) for place in self.present()}
        before = {place: self.names(place) for place in self.present()}
        result = back_up(self.house.pipeline(), clock=clock)
        alarms = result.alarms
        if result.status not in ("done", "partial") or (
            result.status == "partial" and not self.away
        ):
            # If damage at both destinations was found at one, the next run stores again what it
            # needs. If the parent's index is damaged at every destination, the error says how to go
            # on.
            self.assert_caused(result)
            result = back_up(self.house.pipeline(full=True), clock=clock)
            assert result.status in ("done", "partial"), result
            self.counts["full"] += 1
        self.alarms_are_true([*alarms, *result.alarms], due)
        self.note_new()
        for place, names in before.items():
            self.known[place] |= names | (self.names(place) if place in result.holders else set())

    def alarms_are_true(self, alarms, due):
        """Assert that a backup said which destination lacks what, and said nothing else."""
        said = {text.partition("svc at ")[2].partition(":")[0] for text in alarms}
        wrong = {place for place in said if not self.deleted[place] - self.accepted[place]}
        assert not wrong, f"false alarm on day {self.day}: {alarms}"
        missed = {place for place, names in due.items() if names} - said
        assert not missed, f"missed on day {self.day}: {due}, {alarms}"
        self.counts["alarms"] += len(said)

    def accept(self):
        """Accept what is missing now; from then on it is no alarm."""
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            accept_history(self.house.program, "svc", yes=True, as_json=True)
        self.note_new()
        for place in self.present():
            self.accepted[place] |= self.deleted[place]
            assert not self.house.program.record.alarms("svc").get(place)

    def assert_caused(self, result):
        """Assert that a failure names archives, and only such as this campaign has harmed."""
        harmed = {place: self.damaged(place) | self.deleted[place] for place in DESTINATIONS}
        found = re.findall(rf"(one|two):svc/({NAME})", result.error)
        assert all(name in harmed[place] for place, name in found), result
        lacking = re.findall(rf"destination \w+ .*?lacks ({NAME})", result.error)
        assert all(name in harmed["one"] | harmed["two"] for name in lacking), result
        assert found or lacking, result

    def harm(self):
        """Flip a byte of an archive at one destination or at both, or delete one."""
        names = [path.name for path in self.files("one")]
        names += names[-1:] * 5  # the newest is of most interest
        kind = self.chance.random()
        places = [self.chance.choice(DESTINATIONS)]
        if 0.06 <= kind < 0.08:
            places = list(DESTINATIONS)
        elif kind >= 0.11:
            return
        name = self.chance.choice(names)
        for place in places:
            path = self.house.stores[place] / "svc" / name
            if not path.exists():
                continue
            if kind >= 0.08:
                path.unlink()
                self.deleted[place].add(name)
                self.accepted[place].discard(name)
                self.there[place].discard(name)
                self.counts["deleted"] += 1
            else:
                data = bytearray(path.read_bytes())
                data[self.chance.randrange(len(data))] ^= 1 << self.chance.randrange(8)
                path.unlink()  # the spool may share the file by a link
                path.write_bytes(data)
                self.flipped.add(name)
                self.counts["flipped"] += 1

    # True state

    def files(self, place):
        return sorted((self.house.stores[place] / "svc").glob("*.packrat"))

    def names(self, place):
        return {path.name for path in self.files(place)}

    def due(self, place):
        """Return the archives whose loss must be told: retained ones, and what those need."""
        lost = (self.deleted[place] & self.known[place]) - self.accepted[place] - self.names(place)
        last = sorted(self.names(place) | lost)[-self.keep :]
        needed = {
            other.name
            for item in self.catalog(place).listed
            if item.summary and item.stored.name in last
            for other in item.summary.archives
        }
        return lost & {*last, *needed}

    def present(self):
        return [name for name in DESTINATIONS if not (name == "two" and self.away)]

    def note_new(self):
        """Record what was published, which must be the same bytes everywhere."""
        for place in self.present():
            names = self.names(place)
            self.known[place] -= self.there[place] - names  # pruned
            for name in names - self.there[place]:
                path = self.house.stores[place] / "svc" / name
                self.good.setdefault(name, digest(path))
                assert digest(path) == self.good[name], f"damage spread to {place}: {name}"
                self.deleted[place].discard(name)
            self.there[place] = names
            self.source.setdefault(max(names, default=""), tree(self.house.source))

    def damaged(self, place):
        known = [path for path in self.files(place) if path.name in self.good]
        return {path.name for path in known if digest(path) != self.good[path.name]}

    def catalog(self, place):
        program = self.house.program
        destination = program.destination(place)
        return program.cache.catalog(destination, "svc", program.keys, marks=False)

    def look(self):
        self.counts["archives"] = max(self.counts["archives"], len(self.files("one")))

    def verify(self, *, due=False, deep=False):
        """Verify as the command does, and compare the verdicts with the true state."""
        before = {place: self.damaged(place) for place in self.present()}
        lost = {place: self.lacking(place) for place in self.present()}
        vanished = {place: self.due(place) for place in self.present()}
        out = io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
            if due:
                status = verify_share(self.house.program, as_json=True, detail=Detail.NORMAL)
            else:
                status = verify_stored(
                    self.house.program,
                    "svc",
                    None,
                    None,
                    deep=deep,
                    as_json=True,
                    detail=Detail.NORMAL,
                )
        rows = json.loads(out.getvalue())
        for row in rows:
            name, place, said = row["file"], row["destination"], row["status"]
            told = f"day {self.day}, {row}"
            assert name in self.good or name.endswith(".statement"), told
            if row["vanished"]:
                alarming = self.deleted[place] - self.accepted[place]
                assert (said, name in alarming) == ("missing", True), f"false alarm: {told}"
            elif said in ("damaged", "mended"):
                assert name in before[place], f"false alarm: {told}"
            elif said == "missing":
                assert name in lost[place], f"false alarm: {told}"
            else:
                assert said == "ok", told
            self.counts["vanished" if row["vanished"] else said] += 1
        for place, names in vanished.items():
            texts = json.dumps([row for row in rows if row["destination"] == place])
            untold = [name for name in names if name[-16:-8] not in texts]
            assert not untold, f"missed on day {self.day}: {untold}"
            self.known[place] |= self.names(place)
        bad = any(row["status"] in ("damaged", "missing") for row in rows)
        unsure = bool(self.away) or any(row["status"] == "mended" for row in rows)
        assert status == (4 if bad else 5 if unsure else 0), (status, rows)
        if deep:
            for place in self.present():
                self.nothing_missed(place, rows, before[place], lost[place])
        self.note_new()

    def lacking(self, place):
        """Return the archives with a missing reference, because of what this campaign did."""
        found = set()
        there = {path.name for path in self.files(place)}
        for item in self.catalog(place).listed:
            refs = {other.name for other in item.summary.archives} if item.summary else set()
            if (refs - there) & (self.deleted[place] | self.flipped):
                found.add(item.stored.name)
        return found

    def nothing_missed(self, place, rows, damaged, lost):
        """Assert that whatever prevents a restore was named; unneeded archives need not be."""
        named = {
            name
            for row in rows
            for name in self.good
            if row["destination"] == place
            and row["status"] != "ok"
            and name.endswith(f"-{row['id']}.packrat")
        }
        self.named[place] = named
        catalog = self.catalog(place)
        whole = {item.stored.name for item in catalog.backups}
        assert damaged & whole <= named, f"missed at {place} on day {self.day}"
        recent = [path.name for path in self.files(place)][-self.keep :]
        gone = {item.stored.name for item in catalog.listed if item.summary} - whole
        assert (gone & set(recent) & lost) <= named, f"missed at {place} on day {self.day}"

    def restore_all(self):
        """Restore each retained backup from each destination alone."""
        for place in self.present():
            recent = {path.name for path in self.files(place)[-self.keep :]}
            backups = {item.stored.name for item in self.catalog(place).backups}
            for name in sorted(recent | backups):
                out = self.house.root / "out"
                shutil.rmtree(out, ignore_errors=True)
                if self.restored(place, name, out):
                    self.counts["restored"] += 1
                    continue
                refs = self.needs(place, name)
                assert ({name} | refs) & self.named[place], f"unnamed: {place} {name}"
                self.counts["named instead"] += 1

    def restored(self, place, name, out):
        """Restore one backup; return whether it equals the source."""
        program = self.house.program
        try:
            chosen = choose(program, "svc", name, place)
            result = restore(program, "svc", chosen, (), str(out))
        except VaultError:
            return False
        if result.partial:
            return False
        if name in self.source:
            assert tree(out) == self.source[name], f"wrong data: {place} {name}"
        return True

    def needs(self, place, name):
        item = {one.stored.name: one for one in self.catalog(place).listed}
        summary = item[name].summary if name in item else None
        return {other.name for other in summary.archives} if summary else set()


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=120)
    parser.add_argument("--files", type=int, default=200)
    parser.add_argument("--keep", type=int, default=14)
    given = parser.parse_args()
    begun = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        days = Days(Path(folder), given.seed, given.files, given.keep)
        days.run(given.days)
    print(f"seed {given.seed}: {dict(days.counts)} in {time.monotonic() - begun:.0f} s")  # noqa: T201


if __name__ == "__main__":
    main()
