"""A session holds no connection between its plain reads, and one from its first write on."""

import asyncio
import os
import time
from collections.abc import AsyncIterator

import pytest
from sqlalchemy import event, func, text
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlalchemy.orm import selectinload
from sqlmodel import Field, Relationship, col, select

import neonkit
from neonkit import Database, TableModel
from neonkit.db import Driver, PoolPolicy, create_engine
from neonkit.dsn import Dsn
from neonkit.testing._databases import Databases, Loan

IS_LONG = "HANDLERS" in os.environ
HANDLERS = int(os.environ.get("HANDLERS", "80"))

pytestmark = [pytest.mark.both_drivers, pytest.mark.real_commits]


class Pantry(TableModel, table=True):
    """Something that holds jars."""

    id: int | None = Field(default=None, primary_key=True)
    label: str = Field(max_length=50)
    tins: list["Tin"] = Relationship(back_populates="pantry", passive_deletes="all")


class Tin(TableModel, table=True):
    """Something on a pantry."""

    id: int | None = Field(default=None, primary_key=True)
    pantry_id: int = Field(foreign_key="pantry.id")
    pantry: Pantry = Relationship(back_populates="tins")


@pytest.fixture
async def pantry(db: Database) -> int:
    """A pantry with two tins."""
    async with db.session() as session:
        made = Pantry(label="oak")
        session.add(made)
        await session.commit()
        assert made.id is not None
        session.add_all([Tin(pantry_id=made.id), Tin(pantry_id=made.id)])
        await session.commit()
        return made.id


def _used(db: Database) -> int:
    return db.pool_use.checked_out


async def test_a_read_holds_nothing_afterwards(db: Database, pantry: int) -> None:
    """After each read the pool has its connection back, and the session counts as begun."""
    async with db.session() as session:
        found = await session.get(Pantry, pantry)
        assert (_used(db), session.in_transaction()) == (0, True)
        with pytest.raises(Exception, match="already begun"):
            await session.begin()
        rows = await session.exec(select(Pantry).options(selectinload(Pantry.tins)))  # type: ignore[arg-type]  # a relation
        assert _used(db) == 0
        assert [len(row.tins) for row in rows.all()] == [2]
        assert found is (await session.exec(select(Pantry))).one()
    assert _used(db) == 0


async def test_a_change_after_reads_is_one_statement(db: Database, pantry: int) -> None:
    """A write takes a connection again, and commits as itself."""
    async with db.session() as session:
        found = await session.get_one(Pantry, pantry)
        found.label = "ash"
        await session.commit()
        assert _used(db) == 0
        assert (await session.exec(select(Pantry.label))).one() == "ash"


@pytest.mark.parametrize("pins", ["connection", "lock", "text", "begin", "write"])
async def test_what_needs_one_connection_keeps_it(db: Database, pantry: int, pins: str) -> None:
    """From then on to the end of the transaction, reads included."""
    async with db.session() as session:
        if pins == "begin":
            await session.begin()
        await session.get(Pantry, pantry)
        if pins == "connection":
            await (await session.connection()).execute(select(func.count()).select_from(Pantry))
        elif pins == "lock":
            await session.exec(select(Pantry).with_for_update())
        elif pins == "text":
            await (await session.connection()).execute(text("SELECT 1"))
        elif pins == "write":
            session.add(Pantry(label="elm"))
            await session.flush()
        await session.exec(select(Pantry.label))
        assert _used(db) == 1
        await session.rollback()
        assert _used(db) == 0


async def test_listeners_of_the_pool_keep_it(db: Database, pantry: int) -> None:
    """Who counts on a connection for each transaction sees one."""
    seen: list[object] = []
    event.listen(db.engine.sync_engine.pool, "checkin", lambda *given: seen.append(given))

    async with db.session() as session:
        for _ in range(3):
            await session.get(Pantry, pantry, populate_existing=True)
        assert (_used(db), seen) == (1, [])
    assert len(seen) == 1


async def test_a_maker_of_ones_own(db: Database, pantry: int) -> None:
    """`neonkit.AsyncSession` does the same, and can be told not to."""
    for open_reads, used in ((True, 0), (False, 1)):
        maker = async_sessionmaker(db.engine, class_=neonkit.AsyncSession, open_reads=open_reads)
        async with maker() as session:
            await session.get(Pantry, pantry)
            assert _used(db) == used


@pytest.fixture
async def small(
    database_driver: Driver, _neonkit_databases: Databases
) -> AsyncIterator[tuple[Database, Dsn]]:
    """A pool of five connections."""
    async with _neonkit_databases.clone(database_driver) as loan:
        assert isinstance(loan, Loan)
        assert loan.clone is not None
        policy = PoolPolicy(size=5, overflow=0)
        engine = create_engine(loan.clone, driver=database_driver, pool=policy)
        async with Database(engine) as database:
            yield database, loan.clone


async def test_handlers_that_wait_pin_nothing(small: tuple[Database, Dsn], db: Database) -> None:
    """80 that read, wait a second and read again need five connections, and nobody is refused.

    `HANDLERS=200` is the long form: they come within one second, wait five, and end within eight.
    """
    database, dsn = small
    most = sessions = 0

    async def handle(number: int) -> int:
        nonlocal most
        await asyncio.sleep(number / HANDLERS if IS_LONG else 0)
        async with database.session() as session:
            first = (await session.exec(select(func.count()).select_from(Pantry))).one()
            await asyncio.sleep(5 if IS_LONG else 1)
            most = max(most, database.pool_use.checked_out)
            return first + (await session.exec(select(func.count()).select_from(Pantry))).one()

    async def watch() -> None:
        nonlocal sessions
        asked = text("SELECT count(*) FROM pg_stat_activity WHERE datname = :name")
        async with db.engine.connect() as connection:
            while True:
                found = await connection.execute(asked, {"name": dsn.database})
                sessions = max(sessions, found.scalar_one())
                await connection.rollback()
                await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    began = time.monotonic()
    # pinned, only 30 of 80 would have had a connection when the others' patience ends
    assert await asyncio.gather(*map(handle, range(HANDLERS))) == [0] * HANDLERS
    took = time.monotonic() - began
    watching.cancel()
    assert most <= 5
    assert 1 <= sessions <= 5
    assert took < 8 or not IS_LONG


async def test_a_reading_session_still_only_reads(db: Database, pantry: int) -> None:
    """The server refuses what cannot be judged here, after any number of reads."""
    async with db.read_session() as session:
        for _ in range(2):
            await session.get(Pantry, pantry, populate_existing=True)
            assert _used(db) == 0
        with pytest.raises(neonkit.errors.ReadOnlySessionError):
            await (await session.connection()).execute(text("DELETE FROM tin"))
    async with db.session() as session:
        session.add(Pantry(label="of a writer"))
        await session.flush()
        session.add(Pantry(label="and another"))
        await session.commit()
        assert len((await session.exec(select(col(Pantry.id)))).all()) == 3


async def test_tasks_that_share_a_session_share_its_connection(small: tuple[Database, Dsn]) -> None:
    """Reads at once on one session are answered each by its own rows, and no connection is lost."""
    db, _ = small
    async with db.session() as session:
        pantries = [Pantry(label=f"n{number}") for number in range(5)]
        session.add_all(pantries)
        await session.commit()
    labels = {pantry.id: pantry.label for pantry in pantries}

    for _ in range(20):
        async with db.session() as session:

            async def read(pantry_id: int | None, session: neonkit.AsyncSession = session) -> str:
                return (
                    await session.exec(select(Pantry.label).where(Pantry.id == pantry_id))
                ).one()

            await session.exec(select(Pantry.label))
            assert await asyncio.gather(*map(read, labels)) == list(labels.values())
        assert _used(db) == 0


async def test_what_another_task_is_using_is_not_given_back(
    small: tuple[Database, Dsn], database_driver: Driver
) -> None:
    """A quick read ends while a slow one of its session is on its way: the connection stays."""
    _, dsn = small
    engine = create_engine(
        dsn, driver=database_driver, pool=PoolPolicy(size=1), plain_functions=["pg_sleep"]
    )
    async with Database(engine) as db, db.session() as session:
        await session.exec(select(Pantry.label))
        quick = asyncio.create_task(session.exec(select(Pantry.label)))
        slow = asyncio.create_task(session.exec(select(func.pg_sleep(0.5))))
        await quick
        used_meanwhile = _used(db)
        await slow
        assert (used_meanwhile, _used(db)) == (1, 0)
