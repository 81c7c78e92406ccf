"""Budgets of the test folders: complete, and enforced."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from tests.budgets import BUDGETS, Budgets, folder_of

ROOT = Path(__file__).parents[1]


def session_after(seconds, *, thorough=False, soak=False):
    """Return a session that ended after a test of `tests/engine` took so many seconds."""
    budgets = Budgets()
    nodeid = "tests/engine/test_graph.py::test_x"
    budgets.pytest_runtest_logreport(SimpleNamespace(nodeid=nodeid, used=(seconds, thorough)))
    config = SimpleNamespace(getoption=lambda _: soak)
    session = SimpleNamespace(exitstatus=pytest.ExitCode.OK, config=config)
    budgets.pytest_sessionfinish(session)
    return session


def test_every_folder_of_tests_has_a_budget():
    files = (ROOT / "tests").rglob("test_*.py")
    assert {folder_of(str(file.relative_to(ROOT))) for file in files} == set(BUDGETS)


@pytest.mark.parametrize("thorough", [False, True])
def test_a_folder_over_its_budget_fails_the_run(thorough):
    budget = BUDGETS["tests/engine"][thorough]
    assert session_after(budget, thorough=thorough).exitstatus == pytest.ExitCode.OK
    over = session_after(budget + 1, thorough=thorough)
    assert over.exitstatus == pytest.ExitCode.TESTS_FAILED


def test_campaigns_have_no_budget():
    assert session_after(10_000, soak=True).exitstatus == pytest.ExitCode.OK
