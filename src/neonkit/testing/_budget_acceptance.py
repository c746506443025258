"""`--accept-round-trips`: new budgets, from the tests that measured them into the file.

They travel in the reports of tests, which come together in one process, with workers and without.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from neonkit.testing._budget_file import Spending

_PROPERTY = "neonkit_round_trips"


def note(item: pytest.Item, file: Path, name: str, spending: Spending) -> None:
    """Give a new budget to the test's report."""
    told = {
        "file": str(file),
        "name": name,
        "trips": spending.trips,
        "statements": list(spending.statements),
    }
    item.user_properties.append((_PROPERTY, told))


class Acceptance:
    """Collects new budgets from the tests that passed, and writes them when all have run."""

    def __init__(self) -> None:
        self._accepted: dict[Path, dict[str, Spending]] = {}

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Keep what a test that passed took note of."""
        from neonkit.testing._budget_file import Spending

        if report.when != "call" or not report.passed:
            return
        for name, told in report.user_properties:
            if name == _PROPERTY and isinstance(told, dict):
                spending = Spending(told["trips"], tuple(told["statements"]))
                self._accepted.setdefault(Path(told["file"]), {})[told["name"]] = spending

    def pytest_sessionfinish(self) -> None:
        """Write the files."""
        from neonkit.testing._budget_file import write_budgets

        for file, accepted in self._accepted.items():
            write_budgets(file, accepted)

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """Say which budgets are new."""
        for file, accepted in self._accepted.items():
            terminalreporter.section(f"accepted in {file}")
            for name, spending in sorted(accepted.items()):
                terminalreporter.write_line(f"{name}: {spending.trips}")
