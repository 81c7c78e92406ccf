"""Mermaid's own parser."""

import os
import subprocess
from pathlib import Path

import pytest

from tests.helpers.servers import need

SCRIPT = Path(__file__).parents[1] / "packrat" / "mermaid" / "parse.mjs"


def parsed(drawing: str) -> str:
    """Return the type of a drawing; fail if Mermaid refuses it, skip without Mermaid."""
    if not (SCRIPT.parent / "node_modules" / "mermaid").is_dir():
        message = "needs node and mermaid: npm ci --prefix tests/packrat/mermaid"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)
    command = [need("node"), SCRIPT]
    done = subprocess.run(command, input=drawing, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
