"""Pictures of docs/how-it-works.md: up to date, valid, and true where they are drawn by hand."""

import re
import subprocess
import sys
from pathlib import Path
from typing import get_args

import pytest

from stages.in_place.record import Phase
from stages.kinds import KINDS
from tests.helpers.mermaid import parsed

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "how-it-works.md").read_text()
BLOCKS = [
    pytest.param(block, id=f"{file.name}-{number}")
    for file in [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
    for number, block in enumerate(re.findall(r"```mermaid\n(.*?)```", file.read_text(), re.DOTALL))
]


def block(kind):
    """Return the only Mermaid block of a kind."""
    [found] = re.findall(rf"```mermaid\n({kind}\n.*?)```", PAGE, re.DOTALL)
    return found


def test_pictures_are_what_the_program_draws():
    """If this fails, run `make pictures`."""
    command = [sys.executable, "docs/pictures.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert PAGE.count("```mermaid\nflowchart") == PAGE.count("<!-- picture: ") == 5


@pytest.mark.parametrize("drawing", BLOCKS)
@pytest.mark.thorough
def test_mermaid_parses_every_picture(drawing):
    assert drawing.startswith(parsed(drawing).partition("-")[0])


def test_the_timeline_names_only_stages_of_the_pipeline():
    """And containers are down in the same stages as in the drawn plan."""
    text = block("sequenceDiagram")
    [plan] = re.findall(r"<!-- picture: backup -->\n(.*?)<!--", PAGE, re.DOTALL)
    names = dict(re.findall(r'(s0n\d+)\["([\w:]+)', plan))
    stages = re.findall(r"->>\w+: (\w+):", text)
    assert len(stages) == text.count("->>")
    assert set(stages) <= {name.partition(":")[0] for name in names.values()}
    [down] = re.findall(r"rect rgb.*?\n(.*?)  end\n", text, re.DOTALL)
    [red] = re.findall(r"class ([\w,]+) down", plan)
    assert re.findall(r"->>\w+: (\w+):", down) == [names[id_] for id_ in red.split(",")]


def test_the_states_of_a_restore_are_the_phases_of_its_record():
    states = set(re.findall(r"(\w+) -->|--> (\w+)", block("stateDiagram-v2")))
    assert {name for pair in states for name in pair if name} == set(get_args(Phase))


def test_the_picture_of_items_names_each_stage_that_changes_their_type():
    drawn = set(re.findall(r"\|\"(\w+)<br/>(\w+)\"\|", PAGE))
    changing = {(k.kind, k.backwards) for k in KINDS if k.takes and k.takes is not k.gives}
    assert drawn == changing
