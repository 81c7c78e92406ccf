"""Mermaid's own parser."""

import subprocess
from pathlib import Path

from tests.helpers.needs import lacks, need

SCRIPT = Path(__file__).parents[1] / "packrat" / "mermaid" / "parse.mjs"


def parsed(drawing: str) -> str:
    """Return the type of a drawing; fail if Mermaid refuses it, skip without Mermaid."""
    if not (SCRIPT.parent / "node_modules" / "mermaid").is_dir():
        lacks("needs node and mermaid: npm ci --prefix tests/packrat/mermaid")
    command = [need("node"), SCRIPT]
    done = subprocess.run(command, input=drawing, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()
