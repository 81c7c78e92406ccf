"""Bytes that a run stores: of an image that changes inside, and of a tree that does not."""

import filecmp
import os
import random
from pathlib import Path

from benchmarks import tree
from benchmarks.measure import new_folder
from benchmarks.peers import Packrat, Peer, Restic
from benchmarks.report import MB, verdict

IMAGE, QUICK_IMAGE = 2000 * MB, 100 * MB
BLOCK, SHARE = 4096, 0.001
FILES, QUICK_FILES = 100_000, 2_000
MOST_OF_RESTIC = 0.25
MOST_UNCHANGED = 16 << 10


def measure(work: Path, rounds: int, *, quick: bool) -> dict[str, object]:
    """Measure both; the image is rewritten here and there in each round."""
    folder = new_folder(work)
    found = image(folder, rounds + 1, QUICK_IMAGE if quick else IMAGE)
    peer = Packrat(tree.build_small(folder / "small", QUICK_FILES if quick else FILES), work / "s")
    peer.init()
    unchanged = [growth(peer) for _ in range(3)]
    print(f"small files: {', '.join(f'{size:,}' for size in unchanged)} bytes")
    print(verdict("nothing changed, KiB", max(unchanged[1:]) / 1024, MOST_UNCHANGED / 1024))
    return {"image": found, "unchanged": unchanged}


def image(folder: Path, changes: int, size: int) -> dict[str, list[int]]:
    """Back up an image, then again after each change; return the bytes that each run stored."""
    source = folder / "image"
    source.mkdir()
    path = source / "disk.img"
    tree.write_noise(path, size)
    peers: list[Peer] = [Packrat(source, folder / "packrat"), Restic(source, folder / "restic")]
    for peer in peers:
        peer.init()
    found: dict[str, list[int]] = {peer.name: [] for peer in peers}
    chance = random.Random(1)
    for number in range(changes + 1):
        if number:
            rewrite(path, chance)
        for peer in peers:
            found[peer.name].append(growth(peer))
        ours, theirs = (sizes[-1] for sizes in found.values())
        print(f"image, change {number}: {ours:,} bytes, restic {theirs:,}", flush=True)
        if number > 1:
            print(verdict("of restic's bytes", ours / theirs, MOST_OF_RESTIC))
    target = new_folder(folder / "restored")
    peers[0].restore(target)
    if not filecmp.cmp(path, target / path.name, shallow=False):
        raise SystemExit("the image was not restored as it is")
    return found


def growth(peer: Peer) -> int:
    """Return the bytes that a backup adds to the repository."""
    before = peer.stored()
    peer.backup()
    return peer.stored() - before


def rewrite(path: Path, chance: random.Random) -> None:
    """Rewrite some blocks of a file."""
    blocks = path.stat().st_size // BLOCK
    with path.open("r+b") as file:
        for place in chance.sample(range(blocks), round(blocks * SHARE)):
            file.seek(place * BLOCK)
            file.write(os.urandom(BLOCK))
