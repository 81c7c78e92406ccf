"""Processor seconds that the tests of each folder may use; a run that uses more fails.

Processor time instead of wall-clock time, so that a busy machine fails nothing. It is that of the
tests and of all programs that they started and waited for; the end of a run shows the sums.
A row is about twice what was measured: raise it only with a reason in the commit.
"""

import os
from collections import Counter
from collections.abc import Iterator

import pytest

BUDGETS = {
    "tests": (25, 60),
    "tests/engine": (15, 10),
    "tests/laws": (290, 750),
    "tests/packrat": (240, 240),
    "tests/soak": (15, 25),
    "tests/specs": (25, 10),
    "tests/stages": (200, 120),
    "tests/vault": (110, 220),
}
"""Folder -> seconds in `make test`, seconds of the thorough tests in `make test-all`."""
NONE = (0, 0)


def folder_of(nodeid: str) -> str:
    """Return the row of a test: `tests`, or one of its subfolders."""
    parts = nodeid.partition("::")[0].split("/")
    return "/".join(parts[: min(2, len(parts) - 1)])


def processor_seconds() -> float:
    """Return the processor time of this process and of its ended children."""
    return sum(os.times()[:4])


class Budgets:
    """Plugin that measures each test and compares the sums at the end of the session."""

    def __init__(self) -> None:
        self._used: Counter[tuple[str, bool]] = Counter()
        self._last = 0.0

    def pytest_runtest_logstart(self) -> None:
        self._last = processor_seconds()

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item: pytest.Item) -> Iterator[None]:
        report = yield
        now = processor_seconds()
        report.used = (now - self._last, item.get_closest_marker("thorough") is not None)
        self._last = now
        return report

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        seconds, thorough = getattr(report, "used", (0.0, False))  # of a worker that crashed
        self._used[folder_of(report.nodeid), thorough] += seconds

    def pytest_sessionfinish(self, session: pytest.Session) -> None:
        if self.exceeded and not session.exitstatus and not session.config.getoption("--soak"):
            session.exitstatus = pytest.ExitCode.TESTS_FAILED

    @property
    def exceeded(self) -> list[str]:
        """One sentence for each folder that used more than its budget."""
        return [
            f"{folder} used {seconds:.0f} s of processor time, and its budget is {budget} s"
            for (folder, thorough), seconds in sorted(self._used.items())
            if seconds > (budget := BUDGETS.get(folder, NONE)[thorough])
        ]

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        total = sum(self._used.values())
        if total > 60:
            terminalreporter.section("processor seconds")
            for (folder, thorough), seconds in sorted(self._used.items()):
                of = BUDGETS.get(folder, NONE)[thorough]
                rest = " (thorough)" * thorough
                terminalreporter.line(f"{seconds:6.0f} of {of:4} s  {folder}{rest}")
        for sentence in self.exceeded:
            terminalreporter.line(f"over budget: {sentence}; see tests/budgets.py", red=True)
