"""What was left out for want of a program is told at the end of the run."""

from collections import Counter

import pytest

from support.needed import MARK


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
