"""The fixture `budget`: what a request spends is held to a file."""

import re
from pathlib import Path

import pytest
from sqlalchemy import text

from neonkit.db import Database
from neonkit.local import WireProxy
from neonkit.testing import TripBudget
from neonkit.testing._budget_file import Spending, write_budgets
from neonkit.testing._budget_fixture import BudgetSource

NAME = "GET /notes"
COMMAND = "pytest --accept-round-trips 'test_notes.py::test_notes[a b]'"


class Noted:
    """A test's budgets in a file of its own, and what was accepted."""

    def __init__(self, db: Database, wire: WireProxy, file: Path) -> None:
        self.db = db
        self.file = file
        self.wire = wire
        self.accepted: dict[str, Spending] = {}

    def budget(self, *, accepts: bool = False) -> TripBudget:
        """Open the file, as another run does."""
        accept = self.accepted.__setitem__ if accepts else None
        test = "test_notes.py::test_notes[a b]"
        return TripBudget(self.wire, BudgetSource(self.file, "its.toml", test, accept))

    async def send(self, *statements: str, accepts: bool = False) -> None:
        """Run the statements as one request, under a budget."""
        for once in self.budget(accepts=accepts)(NAME):
            with once:
                await self.run(*statements)

    async def run(self, *statements: str) -> None:
        """Run the statements."""
        async with self.db.session() as session:
            for each in statements:
                await (await session.connection()).execute(text(each))
            await session.rollback()

    async def accept(self, *statements: str) -> None:
        """Make them the budget."""
        await self.send(*statements, accepts=True)
        write_budgets(self.file, self.accepted)

    async def failure(self, *statements: str, accepts: bool = False) -> list[str]:
        """Send them, and give the lines with which that fails."""
        with pytest.raises(pytest.fail.Exception) as caught:
            await self.send(*statements, accepts=accepts)
        return str(caught.value).splitlines()


@pytest.fixture
def noted(db: Database, neon: WireProxy, tmp_path: Path) -> Noted:
    """Budgets in an empty folder."""
    return Noted(db, neon, tmp_path / "round_trips.toml")


async def test_a_budget_that_is_not_there(noted: Noted) -> None:
    """It fails with the command that accepts, and makes no file; nor does it without an entry."""
    lines = await noted.failure("SELECT 1")
    assert lines[0].endswith("for which there is no budget: its.toml does not exist.")
    assert lines[-1] == f"  {COMMAND}"
    assert not noted.file.exists()

    write_budgets(noted.file, {"GET /other": Spending(1, ())})
    lines = await noted.failure("SELECT 1")
    assert lines[0].endswith("for which its.toml has no budget.")


async def test_a_budget_that_is_kept(noted: Noted) -> None:
    """What was accepted passes from then on, cold and warm, whatever the values."""
    await noted.accept("SELECT 'a'", "SELECT now(), 1")
    [spent] = noted.accepted.values()
    assert len(spent.statements) >= 2

    await noted.send("SELECT 'b'", "SELECT now(), 2")
    await noted.db.engine.dispose()
    await noted.send("SELECT 'c'", "SELECT now(), 3")


def _changes(lines: list[str]) -> list[str]:
    """The statements that are new or gone, without their hashes."""
    found = [re.fullmatch(r"  ([+-]) [0-9a-f]{12} (.*)", line) for line in lines]
    return [f"{each[1]} {each[2]}" for each in found if each]


async def test_a_budget_that_is_not_kept(noted: Noted) -> None:
    """Each statement that is new or gone is a line; more, less and other ones all fail."""
    await noted.accept("SELECT 1", "SELECT 1, 2")
    [had] = noted.accepted.values()

    more = await noted.failure("SELECT 1", "SELECT 1, 2", "SELECT 1, 2, 3")
    less = await noted.failure("SELECT 1")
    other = await noted.failure("SELECT 1", "SELECT 1, 2, 3")

    assert _changes(more) == ["+ SELECT ?, ?, ?"]
    assert _changes(less) == ["- SELECT ?, ?"]
    assert _changes(other) == ["- SELECT ?, ?", "+ SELECT ?, ?, ?"]
    assert f", where its.toml has {had.trips}." in more[0]
    assert other[0] == f"{NAME}: {had.trips} round trips, as in its.toml, but for other statements."
    for lines in (more, less, other):
        assert lines[-1] == f"  {COMMAND}"
        assert "SELECT 1" in lines[lines.index("It sent:") + 2]


async def test_the_same_statements_in_other_trips(noted: Noted) -> None:
    """Waiting more often for the same, such as to prepare it each time, is no less spent."""
    await noted.accept("SELECT 1")
    [had] = noted.accepted.values()
    write_budgets(noted.file, {NAME: Spending(had.trips - 1, had.statements)})

    lines = await noted.failure("SELECT 1")

    assert f", where its.toml has {had.trips - 1}." in lines[0]
    assert _changes(lines) == []


async def test_a_ceiling(noted: Noted) -> None:
    """Above it nothing is accepted, and below it nothing is either that was not asked for."""
    noted.file.write_text(f'["{NAME}"]\nceiling = 1\n')

    lines = await noted.failure("SELECT 1", "SELECT 1, 2", accepts=True)
    assert lines[0].endswith("above the ceiling of 1 in its.toml.")
    assert COMMAND not in "".join(lines)
    assert noted.accepted == {}
    assert (await noted.failure())[0] == f"{NAME}: 0 round trips, for which its.toml has no budget."

    await noted.accept()
    await noted.send()


async def test_a_request_that_does_not_settle(noted: Noted) -> None:
    """A cost that differs each time is no budget."""

    async def send_more_each_time() -> None:
        statements: list[str] = []
        for once in noted.budget()(NAME):
            statements.append("SELECT 1")
            with once:
                await noted.run(*statements)

    with pytest.raises(pytest.fail.Exception, match="no two requests in a row cost the same"):
        await send_more_each_time()


def test_a_loop_that_counts_nothing(noted: Noted) -> None:
    """A loop without its `with` is told how to be written."""
    with pytest.raises(pytest.fail.Exception, match="with once:"):
        list(noted.budget()(NAME))


def test_what_the_block_raises_comes_through(noted: Noted) -> None:
    """An exception of the block is not hidden by the count."""
    with pytest.raises(ZeroDivisionError), next(noted.budget()(NAME)):
        raise ZeroDivisionError
