"""Tests marked `both_drivers` run on each; what a missing program left out is told at the end."""

from collections import Counter
from typing import get_args

import pytest

from neonkit.db import Driver
from support.needed import MARK


def pytest_configure(config: pytest.Config) -> None:
    """Name the mark."""
    config.addinivalue_line("markers", "both_drivers: run the test on asyncpg and on psycopg.")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give such a test's database each driver in turn."""
    is_marked = metafunc.definition.get_closest_marker("both_drivers")
    if is_marked and "database_driver" in metafunc.fixturenames:
        metafunc.parametrize("database_driver", get_args(Driver))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Name each missing program, the tests that it cost, and the command that brings it."""
    skipped: list[pytest.TestReport] = terminalreporter.stats.get("skipped", [])
    reasons = [report.longrepr[2] for report in skipped if isinstance(report.longrepr, tuple)]
    missing = Counter(
        reason.partition(MARK)[2] for reason in reasons if reason.startswith(f"Skipped: {MARK}")
    )
    if missing:
        terminalreporter.section("not tested on this machine")
    for what, count in sorted(missing.items()):
        program, _, command = what.partition(": ")
        tests = "1 test" if count == 1 else f"{count} tests"
        terminalreporter.write_line(f"{tests} without {program}; it comes with: {command}")
