"""Random session programs come to the same on our sessions as on stock ones.

`PROGRAMS=10000 python -m pytest tests/db/test_differential.py -n 2` is the long form.
"""

import os
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from typing import Any, get_args

import pytest
from hypothesis import HealthCheck, Phase, example, given, settings
from sqlalchemy import event
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import Session
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database, create_engine
from neonkit.db import Driver, SentStatement, TimeoutPolicy, watching
from neonkit.db._plans import entities, reasons
from neonkit.db._plans.plans import Plan
from neonkit.db._plans.reads import read_by_plan
from neonkit.db._units import sessions
from neonkit.db._units.sessions import session_factory
from neonkit.db._wire.connection import UnitOfWorkConnection
from neonkit.db._wire.phases import Sending
from neonkit.testing._databases import Databases
from support.programs import EMPTY, TABLES, Program, play, programs
from support.stock import run_script, stock_engine, stock_sessions

IS_LONG = "PROGRAMS" in os.environ
PROGRAMS = int(os.environ.get("PROGRAMS", "600"))
PARTS = 4 if IS_LONG else 1  # the short form has the same programs in each run
RANDOM = settings(
    derandomize=not IS_LONG,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
TRIES = 6
# its last step loads a relation where nobody can wait for it
LAZY = [("add", 0, 0, 0), ("add and commit", 1, 0, 0), ("delete and commit", 1, 0, 0)]
LAZY += [("relate", 1, 0, 1)]
LOCK_SECONDS = 0.02  # each wait is for the program's other session, and in vain

pytestmark = pytest.mark.filterwarnings("ignore::sqlalchemy.exc.SAWarning")


@dataclass
class Stage:
    """Where programs are played.

    Attributes:
        played: how many were.
        lone: how many of them sent a write that committed as itself.
        lone_writes: how many such writes there were.
        short: how many of them read by a ready plan.
        short_reads: how many such reads there were.
    """

    stock: AsyncEngine
    ours: AsyncEngine
    played: int = 0
    lone: int = 0
    lone_writes: int = 0
    short: int = 0
    short_reads: int = 0

    async def on_stock(self, program: Program) -> object:
        """What a program comes to on stock sessions."""
        return await self._play(stock_sessions(self.stock), program)

    async def on_ours(self, program: Program) -> object:
        """What it comes to on ours."""
        before = self.lone_writes, self.short_reads
        outcome = await self._play(
            session_factory(self.ours, lone_writes=True, ready_plans=True), program
        )
        self.played += 1
        self.lone += self.lone_writes > before[0]
        self.short += self.short_reads > before[1]
        return outcome

    async def _play(self, sessions: Callable[[], AsyncSession], program: Program) -> object:
        await run_script(self.stock, EMPTY)
        story = await play(sessions, program)
        async with self.stock.connect() as connection:
            rows = {
                table.name: sorted(
                    map(repr, await connection.exec_driver_sql(f"SELECT * FROM {table.name}"))
                )
                for table in TABLES
            }
        return story, rows

    def note(self, sent: SentStatement) -> None:
        """Count the writes that went alone."""
        if sent.sending is Sending.LONE and not sent.sql.startswith("SELECT"):
            self.lone_writes += 1

    async def note_read(self, *read: Any) -> Any:  # noqa: ANN401  # passed on
        """Count the reads that went by a plan."""
        result = await read_by_plan(*read)
        self.short_reads += result is not None
        return result

    async def on_both(self, program: Program) -> tuple[object, object]:
        """What a program comes to on ours, and on stock sessions: the same, if it ever is.

        In which order SQLAlchemy writes rows of unrelated tables is chance: where one of them is
        refused, so is what was written before. So both have several tries.
        """
        outcomes = await self.on_ours(program), await self.on_stock(program)
        for _ in range(TRIES):
            if outcomes[0] == outcomes[1]:
                break
            outcomes = await self.on_ours(program), await self.on_stock(program)
        return outcomes


def _mark(connection: Any, _record: object) -> None:  # noqa: ANN401  # of either driver
    """SQLAlchemy's own recipe for a setting of each connection."""
    before, connection.autocommit = connection.autocommit, True
    connection.cursor().execute("SET play.mark = 'kept'")
    connection.autocommit = before


@pytest.fixture(scope="module", params=get_args(Driver))
async def stage(
    request: pytest.FixtureRequest, _neonkit_databases: Databases
) -> AsyncIterator[Stage]:
    """A database of its own, and an engine of each kind."""
    async with _neonkit_databases.clone(request.param) as loan:
        assert loan.clone is not None
        waiting = f"{int(LOCK_SECONDS * 1000)}ms"
        like = loan.clone.with_options({"lock_timeout": waiting})
        timeouts = TimeoutPolicy(lock=LOCK_SECONDS)
        async with (
            Database(create_engine(loan.clone, driver=request.param, timeouts=timeouts)) as ours,
            Database(create_engine(like, driver=request.param)) as waiting_as_long,
            stock_engine(waiting_as_long) as stock,
        ):
            stage = Stage(stock, ours.engine)
            for engine in (stock, ours.engine):
                event.listen(engine.sync_engine, "connect", _mark)
            with (
                watching(ours.engine.sync_engine, stage.note),
                pytest.MonkeyPatch.context() as patch,
            ):
                patch.setattr(sessions, "read_by_plan", stage.note_read)
                yield stage
    roads = f"{stage.lone} with lone writes, {stage.short} with reads by ready plans"
    print(f"{stage.played} programs, {roads}")  # noqa: T201  # for -s and -rP
    assert stage.lone >= stage.played / 5
    assert request.param == "psycopg" or stage.short >= stage.played / 2


@pytest.fixture
def counting_rule(stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The rule that everybody thinks of first: what changes one object is one statement."""

    def count(session: Session) -> str | None:
        changed = len(session.new) + len(session.dirty) + len(session.deleted)
        return None if changed == 1 else "not one object"

    monkeypatch.setattr(sessions, "why_not_alone", count)
    before = stage.played, stage.lone
    yield
    stage.played, stage.lone = before


@pytest.mark.usefixtures("counting_rule")
@pytest.mark.xfail(strict=True, raises=AssertionError, reason="it commits by halves")
@settings(RANDOM, max_examples=2000, phases=[Phase.generate])
@given(program=programs)
async def test_a_rule_that_only_counts_is_found_out(stage: Stage, program: Program) -> None:
    """Programs as random as the others' see the difference."""
    ours, stock = await stage.on_both(program)
    assert ours == stock


@dataclass(frozen=True)
class Fault:
    """A fault in one step of the way of a ready plan.

    Attributes:
        where: what is replaced, and by what.
        program: sees it.
    """

    where: tuple[Any, str, Callable[..., Any]]
    program: Program


_remembered: dict[object, Any] = {}
_arguments: Callable[[Plan, dict[str, Any]], Any] = Plan.arguments
FAULTS = {
    "a statement has the values of the first of its structure": Fault(
        (
            Plan,
            "arguments",
            lambda plan, values: _remembered.setdefault(plan.compiled, _arguments(plan, values)),
        ),
        [("add", 0, 0, 1), ("add and commit", 0, 0, 3)]
        + [("read columns", 1, which, 1) for which in (1, 2)],
    ),
    "pending objects are not flushed first": Fault(
        (reasons, "is_clean", lambda _: True),
        [("add and commit", 0, 0, 1), ("read", 0, 0, 0), ("add", 0, 0, 2), ("read", 0, 0, 0)],
    ),
    "an object does not enter the identity map": Fault(
        (entities, "entrance_of", lambda _: lambda *_entry: None),
        [("add and commit", 0, 0, 1), ("read", 1, 0, 0), ("read", 1, 0, 0), ("commit", 1, 0, 0)],
    ),
    "the driver's errors are told as they are": Fault(
        (UnitOfWorkConnection, "_handle_exception", lambda _, error: _raise(error)),
        [("add and commit", 0, 1, 1), ("read columns", 0, 1, 4)],
    ),
}


def _raise(error: Exception) -> None:
    raise error


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_in_a_ready_plan_is_found(
    stage: Stage, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A program sees each step that goes wrong, and no difference where none does."""
    if stage.ours.dialect.driver == "psycopg":
        pytest.skip("psycopg's plain reads take SQLAlchemy's own way")
    fault, before = FAULTS[name], (stage.played, stage.lone, stage.short)
    ours, stock = await stage.on_both(fault.program)
    assert ours == stock
    monkeypatch.setattr(*fault.where)
    ours, stock = await stage.on_both(fault.program)
    assert ours != stock
    stage.played, stage.lone, stage.short = before


@pytest.mark.parametrize("part", range(PARTS))
@settings(RANDOM, max_examples=PROGRAMS // PARTS)
@given(program=programs)
@example(program=LAZY)
async def test_the_same_as_a_stock_session(stage: Stage, part: int, program: Program) -> None:
    """Rows, results, states and error classes are those of a stock session."""
    del part
    ours, stock = await stage.on_both(program)
    assert ours == stock
