"""Plain reads go without BEGIN; everything else begins a transaction first."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest
from sqlalchemy import func, insert, literal, text
from sqlmodel import Field, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database, TableModel, create_engine
from neonkit.db._asyncpg import Dialect
from neonkit.errors import ReadOnlySessionError
from support.sent import collecting

Work = Callable[[AsyncSession], Awaitable[object]]

pytestmark = pytest.mark.real_commits


class Rack(TableModel, table=True):
    """Something to read."""

    id: int | None = Field(default=None, primary_key=True)
    label: str = Field(max_length=50)


@pytest.fixture
def sent(db: Database) -> Iterator[list[str]]:
    """What the test's database is sent."""
    with collecting(db.engine) as words:
        yield words


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
    db: Database, sent: list[str], work: Work, expected: list[str]
) -> None:
    """Plain reads are all that is sent; a lock, a write, text or an explicit begin brings BEGIN."""
    async with db.session() as session:
        await work(session)

    await asyncio.sleep(0)  # asyncpg tells of a query in the loop's next round
    assert sent == expected


async def test_a_reading_session_reads_in_the_open_too(db: Database, sent: list[str]) -> None:
    """What cannot be judged goes in a read-only transaction, where the server refuses writes."""
    async with db.read_session() as session:
        await _read(session)
    async with db.read_session() as session:
        with pytest.raises(ReadOnlySessionError):
            await session.exec(select(func.nextval(func.pg_get_serial_sequence("rack", "id"))))

    assert sent == ["SELECT", "BEGIN", "ROLLBACK"]


async def test_a_failed_plain_read_spoils_nothing(db: Database) -> None:
    """After a caught error the next read works: there is no transaction that has failed."""
    async with db.session() as session:
        with pytest.raises(Exception, match="division by zero"):
            await session.exec(select(literal(1) / func.abs(0)))
        assert (await session.exec(select(func.count(col(Rack.id))))).one() == 0


async def test_where_statements_share_a_snapshot_all_reads_are_in_a_transaction(
    db: Database,
) -> None:
    """A server whose default isolation is not READ COMMITTED gets BEGIN with each unit of work."""
    async with db.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        rule = "SET default_transaction_isolation = 'repeatable read'"
        await connection.execute(text(f'ALTER DATABASE "{db.engine.url.database}" {rule}'))
    dialect = db.engine.dialect
    assert isinstance(dialect, Dialect)

    async with Database(create_engine(dialect.connector.dsn)) as other:
        with collecting(other.engine) as sent:
            async with other.session() as session:
                await _read_twice(session)

    assert sent == ["BEGIN", "SELECT", "SELECT", "ROLLBACK"]
