"""Plain reads go without BEGIN; everything else begins a transaction first."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import func, insert, literal, text
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database, TableModel, create_engine
from neonkit.db import Driver
from neonkit.errors import ReadOnlySessionError
from neonkit.local import WireProxy

pytestmark = pytest.mark.both_drivers

Work = Callable[[AsyncSession], Awaitable[object]]


class Rack(TableModel, table=True):
    """Something to read."""

    id: int | None = Field(default=None, primary_key=True)
    label: str = Field(max_length=50)


@contextmanager
def _sending(wire: WireProxy) -> Iterator[list[str]]:
    """Collect the first word of all that is sent in the block, but for BEGIN's settings."""
    words: list[str] = []
    with wire.counting() as trips:
        yield words
    for trip in trips.trips:
        firsts = [statement.split()[0].rstrip(";") for statement in trip.statements]
        words += [first for first in firsts if first != "SET"]


async def _read(session: AsyncSession) -> None:
    await session.exec(select(Rack))


async def _read_twice(session: AsyncSession) -> None:
    await _read(session)
    await session.exec(select(func.count(col(Rack.id))))


async def _lock(session: AsyncSession) -> None:
    await session.exec(select(Rack).with_for_update())


async def _begin(session: AsyncSession) -> None:
    async with session.begin():
        await _read(session)


async def _savepoint(session: AsyncSession) -> None:
    async with session.begin_nested():
        await _read(session)
    await session.commit()


async def _write(session: AsyncSession) -> None:
    await _read(session)
    await session.exec(insert(Rack).values(label="a"))
    await _read(session)
    await session.commit()
    await _read(session)


async def _write_many(session: AsyncSession) -> None:
    await _read(session)
    connection = await session.connection()
    await connection.execute(insert(Rack), [{"label": "a"}, {"label": "b"}])
    await session.rollback()


async def _write_as_it_stands(session: AsyncSession) -> None:
    await _read(session)
    connection = await session.connection()
    as_it_stands = {"no_parameters": True}
    await connection.exec_driver_sql(
        "INSERT INTO rack (label) VALUES ('a')", execution_options=as_it_stands
    )
    await session.rollback()


async def _foreign_function(session: AsyncSession) -> None:
    await session.exec(select(func.pg_backend_pid()))


async def _text(session: AsyncSession) -> None:
    await (await session.connection()).execute(text("SELECT 1"))


async def _serializable(session: AsyncSession) -> None:
    await session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
    await _read(session)


@pytest.mark.parametrize(
    ("work", "expected"),
    [
        (_read, ["SELECT"]),
        (_read_twice, ["SELECT", "SELECT"]),
        (_lock, ["BEGIN", "SELECT", "ROLLBACK"]),
        (_begin, ["BEGIN", "SELECT", "COMMIT"]),
        (_savepoint, ["BEGIN", "SAVEPOINT", "SELECT", "RELEASE", "COMMIT"]),
        (_write, ["SELECT", "BEGIN", "INSERT", "SELECT", "COMMIT", "SELECT"]),
        (_write_many, ["SELECT", "BEGIN", "INSERT", "INSERT", "ROLLBACK"]),
        (_write_as_it_stands, ["SELECT", "BEGIN", "INSERT", "ROLLBACK"]),
        (_foreign_function, ["BEGIN", "SELECT", "ROLLBACK"]),
        (_text, ["BEGIN", "SELECT", "ROLLBACK"]),
        (_serializable, ["BEGIN", "SELECT", "ROLLBACK"]),
    ],
)
async def test_a_unit_of_work_begins_when_it_must(
    db: Database, neon: WireProxy, work: Work, expected: list[str]
) -> None:
    """Plain reads are all that is sent; a lock, a write, text or an explicit begin brings BEGIN."""
    with _sending(neon) as sent:
        async with db.session() as session:
            await work(session)

    assert sent == expected


async def test_a_reading_session_reads_in_the_open_too(db: Database, neon: WireProxy) -> None:
    """What cannot be judged goes in a read-only transaction, where the server refuses writes."""
    with _sending(neon) as sent:
        async with db.read_session() as session:
            await _read(session)
        async with db.read_session() as session:
            with pytest.raises(ReadOnlySessionError):
                await session.exec(select(func.nextval(func.pg_get_serial_sequence("rack", "id"))))

    assert sent == ["SELECT", "BEGIN", "SELECT", "ROLLBACK"]


async def test_another_isolation_level_is_for_one_unit_of_work(
    db: Database, neon: WireProxy
) -> None:
    """The next one on the same connection reads in the open again."""
    async with db.session() as session:
        await _serializable(session)
    with _sending(neon) as sent:
        async with db.session() as session:
            await _read(session)

    assert sent == ["SELECT"]


@pytest.mark.real_commits
async def test_a_failed_plain_read_spoils_nothing(db: Database) -> None:
    """After a caught error the next read works: there is no transaction that has failed."""
    async with db.session() as session:
        with pytest.raises(Exception, match="division by zero"):
            await session.exec(select(literal(1) / func.abs(0)))
        assert (await session.exec(select(func.count(col(Rack.id))))).one() == 0


async def test_where_statements_share_a_snapshot_all_reads_are_in_a_transaction(
    db: Database, neon: WireProxy, database_driver: Driver
) -> None:
    """A server whose default isolation is not READ COMMITTED gets BEGIN with each unit of work."""
    async with db.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        rule = "SET default_transaction_isolation = 'repeatable read'"
        await connection.execute(text(f'ALTER DATABASE "{db.engine.url.database}" {rule}'))

    async with Database(create_engine(neon.url, driver=database_driver)) as other:
        async with other.engine.connect():
            pass
        with _sending(neon) as sent:
            async with other.session() as session:
                await _read_twice(session)

    assert sent == ["BEGIN", "SELECT", "SELECT", "ROLLBACK"]
