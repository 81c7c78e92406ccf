"""Growth of time and memory from 100,000 small files to 1,000,000."""

from pathlib import Path
from statistics import median

from benchmarks import tree
from benchmarks.measure import Cost
from benchmarks.peers import Packrat
from benchmarks.report import MB, verdict

COUNTS = (100_000, 1_000_000)
QUICK_COUNTS = (2_000, 20_000)
MOST_RATIO = 11
MOST_MEMORY = 400 * MB


def measure(work: Path, rounds: int, *, quick: bool) -> dict[str, object]:
    """Back up both trees, then again and again with nothing changed, interleaved."""
    peers = {count: prepare(work, count) for count in (QUICK_COUNTS if quick else COUNTS)}
    first = {count: peer.backup() for count, peer in peers.items()}
    unchanged: dict[int, list[Cost]] = {count: [] for count in peers}
    for _ in range(rounds):
        for count, peer in peers.items():
            unchanged[count].append(peer.backup())
    for count, costs in unchanged.items():
        report(f"{count:>9,} files, first backup", first[count])
        report(f"{count:>9,} files, nothing changed", Cost.median(costs))
    few, many = (median(cost.wall for cost in costs) for costs in unchanged.values())
    peak = max(cost.memory for costs in unchanged.values() for cost in costs)
    print(verdict("ten times the files: time", many / few, MOST_RATIO))
    print(verdict("peak memory when nothing changed, MB", peak / MB, MOST_MEMORY / MB))
    return {"first": first, "unchanged": unchanged}


def prepare(work: Path, count: int) -> Packrat:
    """Create the tree and an empty repository for it."""
    source = tree.build_small(work / f"small-{count}", count)
    tree.warm(source)
    peer = Packrat(source, work / f"packrat-{count}")
    peer.init()
    return peer


def report(label: str, cost: Cost) -> None:
    """Print one line of figures."""
    print(f"{label:<36}{cost.wall:8.2f} s{cost.cpu:8.2f} s cpu{cost.memory / MB:7.0f} MB")
