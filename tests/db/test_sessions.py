"""How a session ends: only the handler commits, and nothing uncommitted passes in silence."""

import gc
import warnings
from collections.abc import Awaitable, Callable
from contextlib import suppress

import pytest
from sqlalchemy import func, insert, literal_column, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import Field, col, select, text
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database, TableModel, create_engine
from neonkit.db import Driver
from neonkit.errors import ReadOnlySessionError, UncommittedError

pytestmark = pytest.mark.both_drivers

Work = Callable[[AsyncSession], Awaitable[object]]


class Jar(TableModel, table=True):
    """Something to write."""

    id: int | None = Field(default=None, primary_key=True)
    label: str = Field(max_length=50)


class Barrel(TableModel, table=True):
    """Something that holds much."""

    id: int | None = Field(default=None, primary_key=True)
    label: str
    content: str


async def _count(db: Database) -> int:
    async with db.read_session() as session:
        return (await session.exec(select(func.count()).select_from(Jar))).one()


async def _run(session: AsyncSession, statement: str) -> None:
    connection = await session.connection()
    await connection.execute(text(statement))


async def _add(session: AsyncSession) -> None:
    session.add(Jar(label="a"))


async def _flush(session: AsyncSession) -> None:
    session.add(Jar(label="a"))
    await session.flush()


async def _insert(session: AsyncSession) -> None:
    await session.exec(insert(Jar).values(label="a"))


async def _insert_text(session: AsyncSession) -> None:
    await _run(session, "INSERT INTO jar (label) VALUES ('a')")


async def _writing_cte(session: AsyncSession) -> None:
    added = insert(Jar).values(label="a").returning(col(Jar.id)).cte("added")
    await session.exec(select(literal_column("id")).select_from(added))


async def _writing_cte_text(session: AsyncSession) -> None:
    await _run(
        session,
        "WITH w AS MATERIALIZED (INSERT INTO jar (label) VALUES ('a') RETURNING 1) SELECT 1 FROM w",
    )


async def _kept_savepoint(session: AsyncSession) -> None:
    async with session.begin_nested():
        await _insert_text(session)


async def _many(session: AsyncSession) -> None:
    connection = await session.connection()
    await connection.execute(insert(Jar), [{"label": "a"}, {"label": "b"}])


async def _ddl(session: AsyncSession) -> None:
    await _run(session, "CREATE TABLE made_on_the_way (id int)")


@pytest.mark.parametrize(
    "work",
    [
        _add,
        _flush,
        _insert,
        _insert_text,
        _writing_cte,
        _writing_cte_text,
        _kept_savepoint,
        _many,
        _ddl,
    ],
)
async def test_uncommitted_work_is_refused_and_rolled_back(db: Database, work: Work) -> None:
    """Whatever wrote, a session that ends without a commit raises, and nothing stays."""
    with pytest.raises(UncommittedError, match="commit"):
        async with db.session() as session:
            await work(session)

    assert await _count(db) == 0


async def _read(session: AsyncSession) -> None:
    await session.exec(select(Jar))


async def _stream(session: AsyncSession) -> None:
    rows = await session.stream_scalars(select(Jar))
    assert [row async for row in rows] == []


async def _lock(session: AsyncSession) -> None:
    await _run(session, "SELECT pg_advisory_xact_lock(4711)")


async def _lock_table(session: AsyncSession) -> None:
    await _run(session, "LOCK TABLE jar IN SHARE MODE")


async def _update_nothing(session: AsyncSession) -> None:
    await session.exec(update(Jar).where(col(Jar.id) < 0).values(label="b"))


async def _dropped_savepoint(session: AsyncSession) -> None:
    savepoint = await session.begin_nested()
    await _insert_text(session)
    await savepoint.rollback()


async def _rollback(session: AsyncSession) -> None:
    await _flush(session)
    await session.rollback()


async def _set(session: AsyncSession) -> None:
    await _run(session, "SET LOCAL work_mem = '8MB'")


@pytest.mark.parametrize(
    "work",
    [_read, _stream, _lock, _lock_table, _update_nothing, _dropped_savepoint, _rollback, _set],
)
async def test_what_wrote_nothing_ends_in_silence(db: Database, work: Work) -> None:
    """Reads, locks, settings, and work that was dropped on purpose are not refused."""
    async with db.session() as session:
        await work(session)

    assert await _count(db) == 0


async def test_a_commit_keeps_and_the_values_are_there(db: Database) -> None:
    """After a commit the row stays and its id is known, without a refresh."""
    async with db.session() as session:
        jar = Jar(label="a")
        session.add(jar)
        await session.commit()
        assert jar.id is not None

    assert await _count(db) == 1


async def test_work_after_a_commit_counts_anew(db: Database) -> None:
    """What is written after a commit needs a commit of its own."""
    with pytest.raises(UncommittedError):  # noqa: PT012  # the block's end is what raises
        async with db.session() as session:
            session.add(Jar(label="a"))
            await session.commit()
            await _insert_text(session)

    assert await _count(db) == 1


async def test_a_batch_that_cannot_be_sent_writes_nothing(db: Database) -> None:
    """Who catches the error of one row and commits does not keep the rows before it."""
    async with db.session() as session:
        connection = await session.connection()
        rows = [{"label": "a"} for _ in range(100)] + [{"label": "\ud800"}]
        with pytest.raises((DBAPIError, UnicodeEncodeError)):
            await connection.execute(insert(Jar), rows)
        with suppress(DBAPIError):
            await session.commit()
        await session.rollback()

    assert await _count(db) == 0


async def test_a_batch_larger_than_any_buffer(db: Database) -> None:
    """It is written as a whole."""
    rows = [{"label": "x" * 50, "content": "y" * 2000} for _ in range(10_000)]
    async with db.session() as session:
        await (await session.connection()).execute(insert(Barrel), rows)
        await session.commit()
        assert (await session.exec(select(func.count(col(Barrel.id))))).one() == len(rows)


async def test_an_exception_passes_unchanged(db: Database) -> None:
    """A block that raises rolls back and raises its own exception, not ours."""
    with pytest.raises(ZeroDivisionError):  # noqa: PT012  # so that there is work to roll back
        async with db.session() as session:
            await _flush(session)
            raise ZeroDivisionError

    assert await _count(db) == 0


async def test_a_reading_session_refuses_a_flush(db: Database) -> None:
    """A reading session refuses to write objects before anything is sent."""
    async with db.read_session() as session:
        session.add(Jar(label="a"))
        with pytest.raises(ReadOnlySessionError, match="SessionDep"):
            await session.commit()
        await session.rollback()


@pytest.mark.parametrize("is_closed", [True, False])
async def test_a_database_that_was_never_closed_says_so(
    database_driver: Driver, is_closed: bool
) -> None:
    """Who drops a `Database` without closing it is told what to call, and no secret."""
    db = Database(create_engine("postgresql://somebody:s3cret@localhost/x", driver=database_driver))
    if is_closed:
        await db.close()
    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        del db
        gc.collect()

    said = [str(each.message) for each in told if each.category is ResourceWarning]
    assert len(said) == (0 if is_closed else 1)
    assert all("`await db.close()`" in each and "s3cret" not in each for each in said)
