"""Functions under `run_transaction`: run again as a whole, with one effect, whatever is lost."""

from itertools import count

import pytest
from sqlalchemy import func, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database, TableModel
from neonkit.db import current_scope, open_scope
from neonkit.errors import OutcomeUnknownError
from neonkit.local import WireProxy
from neonkit.local._network_faults import When
from neonkit.testing import TripCounter

pytestmark = pytest.mark.both_drivers

_CUTS: tuple[When, ...] = ("before", "during", "after")
_ENDING = func.pg_terminate_backend(func.pg_backend_pid())


class Barge(TableModel, table=True):
    """Something to write, whose name is taken once."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=50, unique=True)


async def _names(db: Database) -> list[str]:
    return list((await db.execute(select(Barge.name).order_by(col(Barge.id)))).scalars())


@pytest.mark.parametrize("each", [1, 2])
async def test_a_lost_commit_is_found_out_about(db: Database, neon: WireProxy, each: int) -> None:
    """It arrived or it did not: one effect, and the answer that the function gave with it."""
    for when in _CUTS:
        runs = count(1)

        async def work(session: AsyncSession, when: str = when, runs: "count[int]" = runs) -> Barge:
            run = next(runs)
            barges = [Barge(name=f"{when} {number} {run}") for number in range(each)]
            session.add_all(barges)
            await session.flush()
            return barges[0]

        neon.cut_at("commit", when=when)
        with open_scope(10) as scope:
            made = await db.run_transaction(work)
        run = 2 if when == "before" else 1
        assert made.name == f"{when} 0 {run}"
        assert scope.doubts == 0
    assert neon.cuts == 3
    names = [f"{when} {number} {run}" for when, run in _RUNS for number in range(each)]
    assert await _names(db) == names


_RUNS = (("before", 2), ("during", 1), ("after", 1))


async def test_a_duplicate_after_a_lost_commit_is_not_its_own_doing(
    db: Database, neon: WireProxy
) -> None:
    """The mark is looked for before the function can meet the row that it wrote itself."""

    async def work(session: AsyncSession) -> str:
        session.add_all([Barge(name="once"), Barge(name="twice")])
        await session.flush()
        return "done"

    neon.cut_at("commit", when="after")
    assert await db.run_transaction(work) == "done"
    with pytest.raises(DBAPIError):
        await db.run_transaction(work)
    assert await _names(db) == ["once", "twice"]


@pytest.mark.real_commits
async def test_a_connection_that_is_lost_halfway_is_run_again(db: Database) -> None:
    """Before COMMIT nothing is in doubt: the whole of it runs again, on what it reads then."""
    runs = count(1)

    async def work(session: AsyncSession) -> int:
        run = next(runs)
        session.add(Barge(name=f"run {run}"))
        await session.flush()
        if run < 3:
            await session.exec(select(_ENDING))
        return run

    assert await db.run_transaction(work) == 3
    assert await _names(db) == ["run 3"]


@pytest.mark.real_commits
async def test_once_a_response_has_begun_nothing_is_run_again(db: Database) -> None:
    """The client has seen a part of what the attempt made."""
    runs = count(1)

    async def work(session: AsyncSession) -> None:
        next(runs)
        session.add(Barge(name="streamed"))
        await session.flush()
        current_scope().is_answered = True
        await session.exec(select(_ENDING))

    with open_scope(10), pytest.raises(DBAPIError):
        await db.run_transaction(work)
    assert next(runs) == 2


async def test_a_plain_session_is_not_run_again(db: Database, neon: WireProxy) -> None:
    """Nobody marks its transaction, and no handler runs twice: its lost COMMIT is unknown."""
    async with db.session() as session:
        session.add_all([Barge(name="a"), Barge(name="b")])
        neon.cut_at("commit", when="after")
        with pytest.raises(OutcomeUnknownError):
            await session.commit()
    assert await _names(db) == ["a", "b"]


async def test_the_mark_costs_no_round_trip(
    db: Database, trips: TripCounter, database_driver: str
) -> None:
    """It travels with BEGIN: two written statements take as many trips as in a plain session."""

    async def work(session: AsyncSession) -> None:
        session.add(Barge(name="mark"))
        await session.flush()
        await session.exec(select(func.quote_ident("x")))

    await db.run_transaction(work)
    async with db.session() as session:
        await session.exec(text("DELETE FROM barge"))  # type: ignore[call-overload]  # SQLModel takes selects alone
        await session.commit()
    with trips.exactly(4 if database_driver == "asyncpg" else 3):
        await db.run_transaction(work)


@pytest.mark.real_commits
async def test_the_isolation_level_may_still_be_chosen_by_statement(db: Database) -> None:
    """PostgreSQL takes SET TRANSACTION before any query only: such a unit of work has no mark."""

    async def work(session: AsyncSession) -> str:
        connection = await session.connection()
        await connection.execute(text("SET TRANSACTION ISOLATION LEVEL SERIALIZABLE"))
        level: str = (await connection.execute(text("SHOW transaction_isolation"))).scalar_one()
        return level

    assert await db.run_transaction(work) == "serializable"
