"""Every promise in docs/security.md, and every case in docs/reliability.md, is held by a test."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGE = (ROOT / "docs" / "security.md").read_text()


@pytest.mark.parametrize("page", ["security.md", "reliability.md"])
def test_every_promise_names_tests_that_exist(page):
    named = re.findall(r"`(tests/[\w/]+\.py)::(\w+)`", (ROOT / "docs" / page).read_text())
    assert len(named) > 20
    missing = [f"{file}::{test}" for file, test in named if test not in functions(ROOT / file)]
    assert missing == []


def test_every_heading_of_a_promise_has_a_test():
    promises = PAGE.partition("## What Packrat promises")[2].partition("\n## ")[0]
    sections = re.split(r"^### ", promises, flags=re.MULTILINE)[1:]
    assert [one.partition("\n")[0] for one in sections if "`tests/" not in one] == []


def functions(file):
    tree = ast.parse(file.read_text()) if file.exists() else ast.Module([], [])
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
