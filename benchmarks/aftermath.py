"""Checks of the state that a daemon leaves after it was killed again and again."""

from __future__ import annotations

import shutil
from collections import Counter
from itertools import chain
from typing import TYPE_CHECKING, Any

from packrat.runs.lock import is_running
from tests.helpers.daemons import runs
from tests.helpers.network import unfinished
from vault.archive.format import ArchiveName, unstamp

if TYPE_CHECKING:
    from pathlib import Path

    from tests.helpers.house import House
    from tests.helpers.servers import S3Server, SshServer

ENDED = ("done", "partial", "failed")


class Aftermath:
    """Checker that counts faults; its report goes to standard output."""

    def __init__(
        self, house: House, s3: S3Server, nas: SshServer, begun: float, last: float
    ) -> None:
        self._house, self._s3, self._nas = house, s3, nas
        self._begun, self._last = begun, last
        self._runs = runs(house)
        self._faults = 0

    def fault(self, text: str) -> None:
        """Count and print one fault."""
        self._faults += 1
        print("FAULT:", text, flush=True)

    def examine(self) -> int:
        """Check everything; return the number of faults."""
        listed = self._house.json("list")
        for name in sorted({run["service"] for run in self._runs}):
            own = [run for run in self._runs if run["service"] == name]
            self._instants(name, own)
            self._truth(name, own, [one for one in listed if one["service"] == name])
        self._litter()
        self._restores(listed)
        verdicts = self._house.json("verify", "--deep")
        for one in verdicts:
            if one["status"] != "ok":
                self.fault(f"verify: {one}")
        print(f"{len(verdicts)} archives proven; faults: {self._faults}")
        return self._faults

    def require_truth_about(self, at: float, running: tuple[float, ...], *, power: bool) -> None:
        """Check that killed runs are reported as such, unless they had ended just before."""
        for run in self._runs:
            if run["started"] not in running:
                continue
            late = run["ended"] is not None and run["ended"] > at + 1
            if run["status"] == "running" or (power and late and run["status"] in ENDED):
                self.fault(f"killed, and the history says otherwise: {run}")

    def _instants(self, name: str, own: list[dict[str, Any]]) -> None:
        """Check that each minute had its own run or was made up for by the next; none had two."""
        ended = [run for run in own if run["status"] in ENDED]
        times = Counter(run["scheduled"] for run in ended)
        first = int(self._begun // 60) + 1
        wanted = [60 * minute for minute in range(first, int(self._last // 60) + 1)]
        made_up = lost = 0
        for instant in wanted:
            if instant in times:
                continue
            after = [r for r in ended if r["scheduled"] > instant and r["started"] > instant]
            made_up += bool(after)
            if not after:
                lost += 1
                self.fault(f"{name}: nothing ran for {instant}")
        for instant, number in times.items():
            if number > 1:
                self.fault(f"{name}: {number} runs for {instant}")
        words = Counter(run["status"] for run in own)
        print(
            f"{name}: {len(wanted)} instants, {sum(i in times for i in wanted)} with their own run,"
            f" {made_up} made up for by the next, {lost} lost; runs: {dict(words)}"
        )
        for run in ended:
            if run["status"] != "done":
                self.fault(f"{name}: {run['status']}: {run['error']}")

    def _truth(self, name: str, own: list[dict[str, Any]], listed: list[dict[str, Any]]) -> None:
        """Check that finished runs are at both destinations, and that every archive has a run."""
        there = {one["id"]: one for one in listed}
        done = {run["id"] for run in own if run["status"] == "done"}
        for id_ in done:
            places = there.get(id_, {"destinations": []})["destinations"]
            if sorted(places) != ["nas", "s3"]:
                self.fault(f"{name}: {id_} is said to be done, and is at {places}")
        broken = [run for run in own if run["status"] in ("killed", "interrupted")]
        for id_ in set(there) - done:
            made = unstamp(there[id_]["time"])
            # A time is never before the newest known one, so it may be a little late.
            if not any(run["started"] - 1 <= made <= run["started"] + 60 for run in broken):
                self.fault(f"{name}: {id_} is of no run")
        print(f"{name}: {len(there)} backups, {len(set(there) - done)} of a run that was killed")

    def _litter(self) -> None:
        """Check that nothing is left in the state, the temporary folder and at the destinations."""
        state = self._house.state
        kept = ("catalog.sqlite", "history.sqlite")
        found = [
            file
            for file in chain(state.rglob("*"), (self._house.root.parent / "tmp").rglob("*"))
            if not file.is_dir()
            and not file.name.startswith(kept)
            and file.parent not in (state / "locks", state / "logs")
        ]
        for root in (self._s3.folder / "bucket/backups/packrat", self._nas.folder / "login"):
            found += [file for file in root.rglob("*") if file.is_file() and not _is_archive(file)]
        for left in found:
            self.fault(f"litter: {left}")
        for lock in (state / "locks").iterdir():
            if is_running(str(state), lock.stem):
                self.fault(f"a lock is held: {lock.name}")
        for upload in unfinished(self._s3):
            self.fault(f"litter: an unfinished upload of {upload}")

    def _restores(self, listed: list[dict[str, Any]]) -> None:
        """Restore every backup from every destination; a container's files must be consistent."""
        number = 0
        for one in listed:
            for place in one["destinations"]:
                number += 1
                to = self._house.root.parent / "restored"
                words = ("restore", one["service"], "--backup", one["id"], "--from", place)
                done = self._house.cli(*words, "--to", str(to), "--yes")
                if done.returncode:
                    self.fault(f"{one['service']} {one['id']} from {place}: {done.stderr}")
                elif one["service"] == "app" and not _same(to / "first", to / "second"):
                    self.fault(f"app {one['id']} from {place} is torn")
                shutil.rmtree(to, ignore_errors=True)
        print(f"{number} restores")


def _is_archive(file: Path) -> bool:
    name = ArchiveName.parse(file.name)
    return name is not None and name.service == file.parent.name


def _same(one: Path, other: Path) -> bool:
    return one.read_text() == other.read_text() != ""
