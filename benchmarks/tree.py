"""Trees to back up: real files of this machine, a log, and noise."""

import itertools
import json
import multiprocessing
import os
import pydoc_data.topics
import random
import re
import shutil
import sysconfig
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path

MB = 1_000_000
LARGEST = 20 * MB  # of the copied files; the two generated files are the large ones
SETTLE = 3  # seconds after which every backup program trusts a file's times
PER_FOLDER = 1000  # small files

SOURCES = (
    sysconfig.get_path("stdlib"),
    sysconfig.get_path("purelib"),
    "/usr/share",
    "/usr/include",
    "/usr/lib",
    "/usr/local",
)


@dataclass(frozen=True)
class Recipe:
    """Minimum content of a tree."""

    files: int = 50_000
    size: int = 1100 * MB
    log: int = 300 * MB
    noise: int = 200 * MB


QUICK = Recipe(files=2_000, size=40 * MB, log=12 * MB, noise=8 * MB)


def build(tree: Path, recipe: Recipe) -> Path:
    """Build the tree, unless one of this recipe already exists."""
    done = tree.with_suffix(".json")
    if done.exists() and json.loads(done.read_text()) == asdict(recipe):
        return tree
    done.unlink(missing_ok=True)
    shutil.rmtree(tree, ignore_errors=True)
    tree.mkdir(parents=True)
    copy_real_files(tree / "files", recipe)
    write_log(tree / "service.log", recipe.log)
    write_noise(tree / "photos.bin", recipe.noise)
    done.write_text(json.dumps(asdict(recipe)))
    time.sleep(SETTLE)
    return tree


def files_of(folder: str | Path) -> Iterator[Path]:
    """Yield every regular file and symlink below a folder, in a fixed order."""
    for parent, folders, names in os.walk(folder):
        folders.sort()
        for path in (Path(parent, name) for name in sorted(names)):
            if path.is_symlink() or path.is_file():
                yield path


def moderate(path: Path) -> bool:
    """Return whether a file is readable and at most as large as the largest copied files."""
    return path.is_symlink() or (os.access(path, os.R_OK) and path.stat().st_size <= LARGEST)


def copy_real_files(target: Path, recipe: Recipe) -> None:
    """Copy files installed on this machine until there are enough files and bytes."""
    sources = dict.fromkeys(os.path.realpath(source) for source in SOURCES)
    seen: set[Path] = set()  # one source may lie inside another
    size = 0
    for path in filter(moderate, itertools.chain.from_iterable(map(files_of, sources))):
        if len(seen) >= recipe.files and size >= recipe.size:
            return
        if path not in seen:
            seen.add(path)
            copy = target / path.relative_to("/")
            copy.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, copy, follow_symlinks=False)
            size += copy.lstat().st_size
    print(
        f"This machine has only {len(seen):,} files with {size / MB:,.0f} MB; going on with them."
    )


def write_log(path: Path, size: int) -> None:
    """Write what a verbose service logs, in real words; zstd -3 shrinks it about fivefold."""
    chance = random.Random(path.name)
    text = " ".join(pydoc_data.topics.topics.values())
    words = list(dict.fromkeys(re.findall(r"[a-z]{3,}", text)))[:2000]
    weights = [1 / rank for rank in range(1, len(words) + 1)]
    cumulative = list(itertools.accumulate(weights))
    moment = 1_700_000_000.0
    with path.open("w") as log:
        while log.tell() < size:
            drawn = iter(chance.choices(words, cum_weights=cumulative, k=8_000))
            for first, *others in zip(*[drawn] * 8, strict=True):
                moment += chance.random()
                stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
                log.write(
                    f"{stamp} INFO  service.{first}[{chance.randrange(32)}]: "
                    f"{' '.join(others)} id={chance.randrange(10**6)} status=200\n"
                )


def write_noise(path: Path, size: int) -> None:
    """Write incompressible bytes, like those of photos and films."""
    chance = random.Random(path.name)
    with path.open("wb") as file:
        for begun in range(0, size, MB):
            file.write(chance.randbytes(min(MB, size - begun)))


def change(tree: Path, turn: int, share: float = 0.01) -> int:
    """Overwrite a few bytes in one percent of the real files; return how many were changed."""
    chance = random.Random(turn)
    files = [path for path in files_of(tree / "files") if not path.is_symlink()]
    chosen = chance.sample(files, max(1, int(len(files) * share)))
    for path in chosen:
        with path.open("r+b") as file:
            file.seek(chance.randrange(path.stat().st_size + 1))
            file.write(chance.randbytes(64))
    time.sleep(SETTLE)
    return len(chosen)


def warm(tree: Path) -> tuple[int, int]:
    """Read every file once, so that all start with warm caches; return the files and bytes."""
    count = size = 0
    for path in files_of(tree):
        count += 1
        if not path.is_symlink():
            with path.open("rb") as file:
                while block := file.read(MB):
                    size += len(block)
    return count, size


def write_small_files(folder: Path) -> None:
    """Fill one folder with files of about 1 KiB."""
    folder.mkdir(parents=True)
    chance = random.Random(str(folder.name))
    for number in range(PER_FOLDER):
        (folder / f"{number:03}.txt").write_bytes(chance.randbytes(256).hex().encode() * 2)


def build_small(tree: Path, count: int) -> Path:
    """Build a tree of many small files, unless it already exists."""
    done = tree.with_suffix(".done")
    if not done.exists():
        shutil.rmtree(tree, ignore_errors=True)
        folders = [tree / f"{number:04}" for number in range(count // PER_FOLDER)]
        with multiprocessing.Pool() as pool:
            pool.map(write_small_files, folders)
        done.touch()
        time.sleep(SETTLE)
    return tree
