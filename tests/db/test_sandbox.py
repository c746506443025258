"""The sandbox of a test: whoever connects by the engine is inside of its one transaction."""

from contextlib import suppress

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker
from sqlalchemy.util import greenlet_spawn
from sqlmodel.ext.asyncio.session import AsyncSession as SQLModelAsyncSession

import neonkit
from neonkit.db import Database
from neonkit.errors import ConfigurationError

pytestmark = pytest.mark.both_drivers


@pytest.fixture
async def made(db: Database) -> None:
    """A table that is gone after the test."""
    async with db.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE made_in_sandbox (n int UNIQUE)"))


async def _insert(engine: AsyncEngine, number: int) -> None:
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO made_in_sandbox VALUES (:n)"), {"n": number})


async def _numbers(db: Database) -> list[int]:
    async with db.session() as session:
        rows = await (await session.connection()).execute(
            text("SELECT n FROM made_in_sandbox ORDER BY n")
        )
        return [row.n for row in rows]


@pytest.mark.usefixtures("made")
async def test_what_goes_through_the_engine_is_undone(db: Database) -> None:
    """Sessions see it as committed, another connection of the server never does."""
    await _insert(db.engine, 1)
    with suppress(ZeroDivisionError):
        async with db.engine.begin() as connection:
            await connection.execute(text("INSERT INTO made_in_sandbox VALUES (2)"))
            raise ZeroDivisionError
    async with db.engine.connect() as connection:
        await connection.execute(text("INSERT INTO made_in_sandbox VALUES (3)"))
        await connection.commit()
        await connection.execute(text("INSERT INTO made_in_sandbox VALUES (4)"))
    with pytest.raises(Exception, match="duplicate key"):
        await _insert(db.engine, 1)
    assert await _numbers(db) == [1, 3]
    outside = await greenlet_spawn(_find_outside, db.engine.sync_engine)
    assert outside == (None,)


def _find_outside(engine: Engine) -> object:
    """Look for the table on a connection of the server's that is not in the sandbox."""
    place = engine.raw_connection()
    cursor = place.cursor()
    cursor.execute("SELECT to_regclass('made_in_sandbox')::text")
    found = cursor.fetchone()
    place.close()
    return found


@pytest.mark.usefixtures("made")
async def test_session_makers_of_ones_own_are_inside(db: Database) -> None:
    """Made from the engine, before the test or in it, with our session class or SQLModel's."""
    for number, kind in enumerate((neonkit.AsyncSession, SQLModelAsyncSession)):
        maker = async_sessionmaker(db.engine, class_=kind)
        async with maker() as session:
            values = {"n": number}
            connection = await session.connection()
            await connection.execute(text("INSERT INTO made_in_sandbox VALUES (:n)"), values)
            await session.commit()
            await (await session.connection()).execute(text("SELECT 1"))
        async with maker() as session:
            await (await session.connection()).execute(
                text("INSERT INTO made_in_sandbox VALUES (9)")
            )
    assert await _numbers(db) == [0, 1]


@pytest.mark.usefixtures("made")
async def test_a_session_that_is_open_meanwhile_goes_on(db: Database) -> None:
    """A handler's session, and a job that the handler runs through the engine, as they nest."""
    async with db.session() as session:
        await (await session.connection()).execute(text("INSERT INTO made_in_sandbox VALUES (1)"))
        await _insert(db.engine, 2)
        await session.commit()
    assert await _numbers(db) == [1, 2]


@pytest.mark.parametrize("level", ["AUTOCOMMIT", "SERIALIZABLE"])
async def test_modes_of_a_transaction_are_refused(db: Database, level: str) -> None:
    """It began long ago: the error names the mark that gives a test a database of its own."""
    with pytest.raises(ConfigurationError, match=r"isolation_level cannot .*real_commits"):
        async with db.engine.execution_options(isolation_level=level).connect():
            pass
    async with db.engine.connect() as connection:
        with pytest.raises(ConfigurationError, match=r"isolation_level cannot .*real_commits"):
            await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execution_options(stream_results=False)
        await connection.execute(text("SELECT 1"))
