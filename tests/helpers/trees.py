"""Trees of files: creating, ageing and comparing them."""

import hashlib
import importlib.util
import os
import random
import time
from pathlib import Path
from typing import Any

SAME_TREE = Path(__file__).parents[2] / "examples" / "same_tree.py"
SETTLED_SECONDS = 2.1


def settle() -> None:
    """Wait until files written just now are old enough to count as unchanged."""
    time.sleep(SETTLED_SECONDS)


def noise(size: int, seed: int = 0) -> bytes:
    """Return incompressible bytes, fast, and the same for the same seed."""
    return random.Random(seed).randbytes(size)


def fill(root: Path, files: dict[str, bytes]) -> None:
    """Write files below a folder."""
    for name, data in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)


def differences(original: Path, copy: Path) -> list[str]:
    """Return the differences of two trees, by the program that packrat's demo uses."""
    spec = importlib.util.spec_from_file_location("same_tree", SAME_TREE)
    assert spec
    assert spec.loader
    same_tree: Any = importlib.util.module_from_spec(spec)
    import sys

    sys.modules["same_tree"] = same_tree
    spec.loader.exec_module(same_tree)
    _, faults = same_tree.compare(
        same_tree.Tree(os.fsencode(original)), same_tree.Tree(os.fsencode(copy))
    )
    return list(faults)


def digest(path: Path) -> str:
    """Return the SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
