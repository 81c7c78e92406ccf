"""Results of a run as a table, with their targets."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from statistics import median

from benchmarks.measure import Cost

MB = 1_000_000

FIRST = "first backup"
UNCHANGED = "nothing changed"
ONE_PERCENT = "1% changed"
FULL_RESTORE = "full restore"

MOST_MEMORY = 250 * MB
WANTED_TIMES = (
    (FIRST, "tar", 1.10),
    (FIRST, "restic", 0.45),
    (UNCHANGED, "restic", 0.30),
    (FULL_RESTORE, "restic", 0.60),
    (FULL_RESTORE, "tar", 1.30),
)
WANTED_STORED = (
    (FIRST, "restic", 1.0),
    (FIRST, "borg", 1.0),
    (ONE_PERCENT, "restic", 1.0),
    (ONE_PERCENT, "borg", 1.0),
)


def verdict(label: str, found: float, wanted: float) -> str:
    """Return one line: the measured figure, its target, and whether that is reached."""
    mark = "✓" if found <= wanted else "✗"
    return f"{mark} {label:<42}{found:6.2f}  (wanted <= {wanted:.2f})"


@dataclass
class Results:
    """All measured figures, by operation and peer, one per round."""

    costs: dict[str, dict[str, list[Cost]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    stored: dict[str, dict[str, list[int]]] = field(
        default_factory=lambda: defaultdict(lambda: defaultdict(list))
    )
    restored: dict[str, str] = field(default_factory=dict)
    """Result of the comparison of each peer's restored tree."""

    def faithful(self) -> bool:
        """Return whether packrat restored an identical tree."""
        return self.restored.get("packrat", "identical").endswith("identical")

    def table(self) -> str:
        """Return the whole report as text."""
        return "\n".join([*self.times(), "", *self.sizes(), "", *self.proofs(), "", *self.ratios()])

    def times(self) -> Iterator[str]:
        """Yield the medians of each operation and peer."""
        yield f"\n{'medians':<17}{'':<9}{'wall':>9}{'cpu':>10}{'memory':>10}"
        for operation, by_peer in self.costs.items():
            for name, costs in by_peer.items():
                cost = Cost.median(costs)
                yield (
                    f"{operation:<17}{name:<9}{cost.wall:7.2f} s{cost.cpu:8.2f} s"
                    f"{cost.memory / MB:7.0f} MB"
                )

    def sizes(self) -> Iterator[str]:
        """Yield the bytes on the disk."""
        for when, by_peer in self.stored.items():
            for name, sizes in by_peer.items():
                yield f"stored after {when:<17}{name:<9}{median(sizes) / MB:9.1f} MB"

    def proofs(self) -> Iterator[str]:
        """Yield the results of the comparisons."""
        for name, line in self.restored.items():
            yield f"restored by {name:<9}{line}"

    def ratios(self) -> Iterator[str]:
        """Yield packrat's figures divided by its peers', with their targets."""
        for operation, peer, wanted in WANTED_TIMES:
            by_peer = self.costs[operation]
            if by_peer.keys() >= {"packrat", peer}:
                found = wall(by_peer["packrat"]) / wall(by_peer[peer])
                yield verdict(f"{operation}: packrat/{peer}", found, wanted)
        for when, peer, wanted in WANTED_STORED:
            sizes = self.stored[when]
            if sizes.keys() >= {"packrat", peer}:
                found = median(sizes["packrat"]) / median(sizes[peer])
                yield verdict(f"stored after {when}: packrat/{peer}", found, wanted)
        if peaks := [
            cost.memory for by_peer in self.costs.values() for cost in by_peer.get("packrat", ())
        ]:
            yield verdict("peak memory of packrat, MB", max(peaks) / MB, MOST_MEMORY / MB)


def wall(costs: Iterable[Cost]) -> float:
    """Return the median wall time."""
    return Cost.median(costs).wall
