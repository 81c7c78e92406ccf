"""Comparison of Packrat and its peers in one run, on one tree, with medians and ratios.

Usage: make bench ARGS='[--quick] [--rounds N] [--only packrat,restic]'
       make bench ARGS='[--quick] [--rounds N] --million | --sizes | --network | --restore'
       make bench ARGS='[--quick] [--rounds N] --downtime'

Works below $PACKRAT_BENCH_DIR (./benchmarks/work by default) and needs about 30 GB there, with
--restore 15 GB more per round. The tree is built once and kept. Setting up repositories and keys is
not timed.
"""

import argparse
import json
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks import million, sizes, tree
from benchmarks.measure import CommandFailedError, Cost, new_folder
from benchmarks.peers import PEERS, Peer
from benchmarks.report import FIRST, FULL_RESTORE, ONE_PERCENT, UNCHANGED, Results

ROOT = Path(__file__).resolve().parent.parent
MB = tree.MB


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a small tree, to try the scripts")
    parser.add_argument("--rounds", type=int, default=3, help="default: %(default)s")
    parser.add_argument("--only", default="", metavar="PEERS", help="for example packrat,restic")
    parser.add_argument("--network", action="store_true", help="uploads, compared with rclone")
    parser.add_argument("--downtime", action="store_true", help="of a container, with other tools")
    parser.add_argument("--million", action="store_true", help="100,000 and 1,000,000 small files")
    parser.add_argument("--sizes", action="store_true", help="bytes stored by incremental runs")
    parser.add_argument("--restore", action="store_true", help="restores from folder, S3 and SFTP")
    parser.add_argument(
        "--incrementals", type=int, default=60, help="for --restore (default: %(default)s)"
    )
    return parser.parse_args()


def choose(names: str, source: Path, work: Path) -> list[Peer]:
    """Return the requested peers that are installed; print how to get the others."""
    wanted = set(filter(None, names.split(","))) or {kind.name for kind in PEERS}
    if unknown := wanted - {kind.name for kind in PEERS}:
        sys.exit(f"unknown peers: {', '.join(sorted(unknown))}")
    chosen = []
    for kind in PEERS:
        if kind.name not in wanted:
            continue
        if missing := kind.missing():
            print(f"{kind.name} is left out: no {', '.join(missing)}; get it by `{kind.install}`")
        else:
            chosen.append(kind(source, work / kind.name))
    return chosen


def version(peer: Peer) -> str:
    """Return the first line of a program's version."""
    answer = subprocess.run(peer.version(), capture_output=True, text=True, check=True)
    return answer.stdout.partition("\n")[0]


def proof(original: Path, copy: Path) -> str:
    """Compare a restored tree with its original; return the last line of the comparison."""
    command = [sys.executable, str(ROOT / "examples/same_tree.py"), str(original), str(copy)]
    lines = subprocess.run(command, capture_output=True, text=True, check=False).stdout.splitlines()
    return lines[-1] if lines else "could not be compared"


def compare(source: Path, peers: list[Peer], work: Path, rounds: int) -> Results:
    """Run each operation once per round with each peer, one after the other."""
    results = Results()
    turn = peers

    def measure(operation: str, action: Callable[[Peer], Cost]) -> None:
        for peer in turn:
            cost = action(peer)
            print(f"  {operation:<16}{peer.name:<9}{cost.wall:8.2f} s", flush=True)
            results.costs[operation][peer.name].append(cost)

    def weigh(when: str) -> None:
        for peer in peers:
            results.stored[when][peer.name].append(peer.stored())

    shutil.rmtree(work / "restored", ignore_errors=True)

    def restore(peer: Peer) -> Cost:
        target = new_folder(work / "restored")
        cost = peer.restore(target)
        if peer.name not in results.restored:
            results.restored[peer.name] = proof(source, target)
        return cost

    for number in range(1, rounds + 1):
        print(f"round {number} of {rounds}")
        first = number % len(peers)
        turn = peers[first:] + peers[:first]  # each peer goes first in turn
        for peer in peers:
            peer.init()
        measure(FIRST, lambda peer: peer.backup())
        weigh(FIRST)
        measure(UNCHANGED, lambda peer: peer.backup())
        changed = tree.change(source, turn=number)
        print(f"  {changed:,} files were changed")
        measure(ONE_PERCENT, lambda peer: peer.backup())
        weigh(ONE_PERCENT)
        measure(FULL_RESTORE, restore)
    shutil.rmtree(work / "restored")
    return results


def save(path: Path, **facts: object) -> None:
    """Write all measurements, and the machine they were made on, for later comparison."""
    machine = {"cores": os.cpu_count(), "system": platform.platform(), "python": sys.version}
    when = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    document = {"time": when, "machine": machine} | facts
    path.write_text(json.dumps(document, indent=2, default=vars) + "\n")
    print(f"\nall figures: {path}")


def main() -> int:
    """Build the tree, measure and print."""
    options = arguments()
    work = Path(os.environ.get("PACKRAT_BENCH_DIR", ROOT / "benchmarks/work")).absolute()
    work.mkdir(parents=True, exist_ok=True)
    if options.million:
        figures = million.measure(work, options.rounds, quick=options.quick)
        save(work / "million.json", **figures)
        return 0
    if options.sizes:
        figures = sizes.measure(work / "sizes", options.rounds, quick=options.quick)
        save(work / "sizes.json", **figures)
        return 0
    if options.network:
        from benchmarks import network  # needs what the tests need

        figures = network.measure(work / "network", options.rounds, quick=options.quick)
        save(work / "network.json", **figures)
        return 0
    recipe = tree.QUICK if options.quick else tree.Recipe()
    source = work / ("quick-tree" if options.quick else "tree")
    if options.downtime:
        from benchmarks import downtime  # needs a Docker engine, as root

        tree.build(source, recipe)
        figures = downtime.measure(work / "downtime", source, options.rounds, quick=options.quick)
        save(work / "downtime.json", **figures)
        return 0
    if options.restore:
        from benchmarks import restore  # needs what the tests need

        tree.build(source, recipe)
        files, size = tree.warm(source)
        print(f"{files:,} files, {size / MB:,.0f} MB in {source}")
        figures = restore.measure(
            work / "restore", source, options.rounds, incrementals=options.incrementals
        )
        save(work / "restore.json", files=files, size=size, **figures)
        return 0
    peers = choose(options.only, source, work)
    versions = {peer.name: version(peer) for peer in peers}
    tree.build(source, recipe)
    files, size = tree.warm(source)
    print(f"{files:,} files, {size / MB:,.0f} MB in {source}")
    results = compare(source, peers, work, options.rounds)
    print(results.table())
    save(work / "results.json", files=files, size=size, versions=versions, **vars(results))
    return 0 if results.faithful() else 1


if __name__ == "__main__":
    try:
        sys.exit(main())
    except CommandFailedError as error:
        sys.exit(str(error))
