"""The driver's own connection, and listeners that prepare it: where people expect what they do."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeAlias

import pytest
from sqlalchemy import Connection, Integer, column, event, table, text
from sqlalchemy.ext.asyncio import AsyncConnection, async_sessionmaker
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession as SQLModelAsyncSession

import neonkit
from neonkit.db import Database, Driver, create_engine
from neonkit.db._wire.dialect import NeonDialect
from neonkit.errors import ConfigurationError

pytestmark = [pytest.mark.both_drivers, pytest.mark.real_commits]

N = column("n", Integer)
LOADED = table("loaded_by_driver", N)
Adapted: TypeAlias = Any
"""A connection as its driver, or SQLAlchemy's adapter, has it: the two have no common type."""


@pytest.fixture
async def loaded(db: Database) -> None:
    """The table that drivers write to."""
    async with db.engine.begin() as connection:
        await connection.execute(text("CREATE TABLE loaded_by_driver (n int)"))


async def _count(db: Database) -> int:
    async with db.engine.connect() as connection:
        rows = await connection.execute(text("SELECT count(*) FROM loaded_by_driver"))
        return int(rows.scalar_one())


async def _copy(driver: Adapted, name: Driver) -> None:
    if name == "asyncpg":
        await driver.copy_records_to_table("loaded_by_driver", records=[(1,), (2,)])
        return
    async with driver.cursor() as cursor, cursor.copy("COPY loaded_by_driver FROM STDIN") as copy:
        for number in (1, 2):
            await copy.write_row((number,))


async def _by_proxy(connection: AsyncConnection) -> Adapted:
    return (await connection.get_raw_connection()).driver_connection


async def _by_adapter(connection: AsyncConnection) -> Adapted:
    adapted: Adapted = (await connection.get_raw_connection()).dbapi_connection
    return adapted.driver_connection


async def _synchronously(connection: AsyncConnection) -> Adapted:
    def take(connection: Connection) -> Adapted:
        return connection.connection.driver_connection

    return await connection.run_sync(take)


WAYS = (_by_proxy, _by_adapter, _synchronously)


@pytest.mark.usefixtures("loaded")
@pytest.mark.parametrize("has_read", [False, True])
@pytest.mark.parametrize("take", WAYS)
async def test_what_the_driver_does_is_undone_with_its_session(
    db: Database, database_driver: Driver, take: Callable[..., Any], has_read: bool
) -> None:
    """COPY after a plain read, or first of all: a rollback takes it back, a commit keeps it."""
    for ends in ("rollback", "nothing", "commit"):
        async with db.session() as session:
            if has_read:
                await session.exec(select(N).select_from(LOADED))
            await _copy(await take(await session.connection()), database_driver)
            if ends != "nothing":
                await getattr(session, ends)()
        assert await _count(db) == (2 if ends == "commit" else 0)


@pytest.mark.usefixtures("loaded")
async def test_a_session_maker_of_ones_own_hands_over_a_transaction_too(
    db: Database, database_driver: Driver
) -> None:
    """The session class of neonkit, SQLModel's own, a connection, and an engine with options."""
    serializable = db.engine.execution_options(isolation_level="SERIALIZABLE")
    for maker in (
        async_sessionmaker(db.engine, class_=neonkit.AsyncSession),
        async_sessionmaker(db.engine, class_=SQLModelAsyncSession),
        async_sessionmaker(serializable, class_=SQLModelAsyncSession),
    ):
        async with maker() as session:
            await _copy(await _by_proxy(await session.connection()), database_driver)
    for engine in (db.engine, serializable):
        async with engine.connect() as connection:
            await connection.begin()
            await _copy(await _by_proxy(connection), database_driver)
    assert await _count(db) == 0


@pytest.mark.usefixtures("loaded")
async def test_autocommit_stays_autocommit(db: Database, database_driver: Driver) -> None:
    """The driver's connection of an AUTOCOMMIT engine is in no transaction: LISTEN needs that."""
    engine = db.engine.execution_options(isolation_level="AUTOCOMMIT")
    async with engine.connect() as connection:
        await connection.begin()
        await _copy(await _by_proxy(connection), database_driver)
    assert await _count(db) == 2


async def test_a_reading_session_hands_over_a_transaction_that_only_reads(db: Database) -> None:
    """What the server refuses of a reading session, it refuses of its driver's connection."""
    async with db.read_session() as session:
        driver = await _by_proxy(await session.connection())
        with pytest.raises(Exception, match="read-only transaction"):
            await driver.execute("CREATE TABLE made_by_reader (n int)")


async def test_looking_at_a_connection_costs_nothing(db: Database) -> None:
    """`connection.info`, which recipes for timing use, begins no transaction before a read."""
    timed: list[object] = []

    def note(connection: Connection, *_: object) -> None:
        timed.append(connection.info.setdefault("began", 1))

    event.listen(db.engine.sync_engine, "before_cursor_execute", note)
    async with db.session() as session:
        await session.exec(select(column("oid", Integer)).select_from(table("pg_class")).limit(1))
        adapted: Adapted = (
            await (await session.connection()).get_raw_connection()
        ).dbapi_connection
        assert adapted.phase.name == "OPEN"
    assert timed


@asynccontextmanager
async def _fresh(like: Database, driver: Driver) -> AsyncIterator[Database]:
    """Another engine for the same server, which has connected to nothing yet."""
    dialect = like.engine.dialect
    assert isinstance(dialect, NeonDialect)
    async with Database(create_engine(dialect.connector.dsn, driver=driver)) as database:
        yield database


def _plainly(connection: Adapted) -> None:
    connection.cursor().execute("SET search_path = 'pg_catalog'")


def _in_autocommit(connection: Adapted) -> None:
    before = connection.autocommit
    connection.autocommit = True
    _plainly(connection)
    connection.autocommit = before


def _by_methods(connection: Adapted) -> None:
    connection.set_autocommit(True)
    connection.execute("SET search_path = 'pg_catalog'")
    connection.set_autocommit(False)


def _by_driver(connection: Adapted) -> None:
    connection.run_async(lambda driver: driver.execute("SET search_path = 'pg_catalog'"))


@pytest.mark.parametrize("prepare", [_plainly, _in_autocommit, _by_methods, _by_driver])
@pytest.mark.parametrize("is_first", [False, True])
async def test_what_a_connect_listener_sets_stays_set(
    db: Database, database_driver: Driver, prepare: Callable[[Adapted], None], is_first: bool
) -> None:
    """A search path for each connection, by every recipe; transactions begin as ever after it."""
    async with _fresh(db, database_driver) as fresh:

        def listener(connection: Adapted, _record: object) -> None:
            prepare(connection)

        event.listen(fresh.engine.sync_engine, "connect", listener, insert=is_first)
        seen = set()
        async with fresh.engine.connect() as one, fresh.engine.connect() as other:
            for connection in (one, other, one):
                seen.add((await connection.execute(text("SELECT current_schema()"))).scalar())
                await connection.rollback()
            await one.execute(text("CREATE TABLE public.made_after_connect (n int)"))
            await one.rollback()
            found = await one.execute(text("SELECT to_regclass('public.made_after_connect')"))
            assert found.scalar() is None
        assert seen == {"pg_catalog"}


async def test_what_a_connect_listener_writes_is_nobody_elses_forgotten_work(
    db: Database, database_driver: Driver
) -> None:
    """A table that a listener makes for each connection is not held against the first session."""
    async with _fresh(db, database_driver) as fresh:

        @event.listens_for(fresh.engine.sync_engine, "connect")
        def make(connection: Adapted, _record: object) -> None:
            connection.cursor().execute("CREATE TEMPORARY TABLE scratch (n int)")

        async with fresh.session() as session:
            found = await session.exec(select(column("n", Integer)).select_from(table("scratch")))
            assert found.all() == []


@pytest.mark.parametrize(
    ("name", "value", "shown"),
    [
        ("readonly", True, ("transaction_read_only", "on")),
        ("deferrable", True, ("transaction_deferrable", "on")),
        ("autocommit", True, None),
    ],
)
async def test_modes_that_a_connect_listener_chooses_hold(
    db: Database, database_driver: Driver, name: str, value: bool, shown: tuple[str, str] | None
) -> None:
    """An adapter's modes are those of every transaction from then on; none is ignored."""
    async with _fresh(db, database_driver) as fresh:

        @event.listens_for(fresh.engine.sync_engine, "connect")
        def choose(connection: Adapted, _record: object) -> None:
            setattr(connection, name, value)

        async with fresh.engine.connect() as connection:
            if shown is None:
                assert await connection.get_isolation_level() == "READ COMMITTED"
                await connection.execute(text("CREATE TABLE made_in_autocommit (n int)"))
                await connection.rollback()
                found = await connection.execute(text("SELECT to_regclass('made_in_autocommit')"))
                assert found.scalar() == "made_in_autocommit"
            else:
                setting, said = shown
                assert (await connection.execute(text(f"SHOW {setting}"))).scalar() == said


async def test_a_do_connect_listener_is_never_ignored(
    db: Database, database_driver: Driver
) -> None:
    """What it changes, and a connection of its own, is refused with what takes its place."""

    def change(
        _dialect: object, _record: object, _args: object, parameters: dict[str, str]
    ) -> None:
        parameters["password"] = "changed"

    def replace(*_: object) -> object:
        return object()

    for listener in (change, replace):
        async with _fresh(db, database_driver) as fresh:
            event.listen(fresh.engine.sync_engine, "do_connect", listener)
            with pytest.raises(ConfigurationError, match=r"do_connect .*password=…"):
                async with fresh.session() as session:
                    await session.exec(select(N).select_from(LOADED))
            async with _fresh(db, database_driver) as usual:
                event.listen(usual.engine.sync_engine, "do_connect", lambda *_: None)
                assert await _count_schemas(usual) > 0


async def _count_schemas(database: Database) -> int:
    async with database.session() as session:
        return len(
            (
                await session.exec(
                    select(column("oid", Integer)).select_from(table("pg_namespace"))
                )
            ).all()
        )
