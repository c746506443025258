"""The engine: bounded waits, connections that are known to be dead, and a pool that sheds."""

import asyncio
import json
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import date
from decimal import Decimal
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Column, Integer, MetaData, Table, event, insert, select, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit.db import (
    Database,
    Driver,
    FaultKind,
    Key,
    PoolPolicy,
    TimeoutPolicy,
    create_engine,
    fault_of,
    open_scope,
)
from neonkit.db._wire.dialect import NeonDialect
from neonkit.errors import ConfigurationError, OverloadedError
from neonkit.local import LocalServer

pytestmark = [pytest.mark.both_drivers, pytest.mark.real_commits]


@asynccontextmanager
async def _database(
    like: Database, pool: PoolPolicy | None = None, timeouts: TimeoutPolicy | None = None
) -> AsyncIterator[Database]:
    """Another database object for the same server."""
    dialect = like.engine.dialect
    assert isinstance(dialect, NeonDialect)
    driver: Driver = "psycopg" if dialect.driver == "psycopg" else "asyncpg"
    engine = create_engine(dialect.connector.dsn, driver=driver, pool=pool, timeouts=timeouts)
    async with Database(engine) as database:
        yield database


async def _run(session: AsyncSession, statement: str) -> object:
    connection = await session.connection()
    return (await connection.execute(text(statement))).scalar()


async def _ask(database: Database, statement: str) -> object:
    async with database.read_session() as session:
        return await _run(session, statement)


@pytest.mark.parametrize(
    ("name", "instead"),
    [
        ("pool_size", "PoolPolicy(size=…)"),
        ("pool_pre_ping", "leave it out"),
        ("connect_args", "URL"),
        ("isolation_level", "execution_options(isolation_level=…)"),
        ("plugins", "docstring"),
    ],
)
def test_arguments_of_sqlalchemys_are_told_what_replaces_them(name: str, instead: str) -> None:
    """What people have in their code is refused by its name, with the name that it has here."""
    options: dict[str, Any] = {name: 5}
    with pytest.raises(TypeError) as refused:
        create_engine("postgresql://ada@db.example/shop", **options)
    assert f"no {name} (" in str(refused.value)
    assert instead in str(refused.value)


async def test_json_is_written_and_read_by_ones_own_functions(db: Database) -> None:
    """In plain statements, and in an answer that is kept under a key."""
    dialect = db.engine.dialect
    assert isinstance(dialect, NeonDialect)
    engine = create_engine(
        dialect.connector.dsn,
        driver="psycopg" if dialect.driver == "psycopg" else "asyncpg",
        json_serializer=partial(json.dumps, default=str),
        json_deserializer=partial(json.loads, parse_float=Decimal),
    )
    notes = Table("json_notes", MetaData(), Column("id", Integer), Column("data", JSONB))
    async with Database(engine) as database:
        async with engine.begin() as connection:
            await connection.run_sync(notes.create)
        written = {"on": date(2026, 2, 3), "price": Decimal("1.25"), "rate": 0.1}
        read = {"on": "2026-02-03", "price": "1.25", "rate": Decimal("0.1")}
        new = insert(notes).values(id=1, data=written).returning(notes.c.data)
        key = Key("a note", b"somebody", (b"body",))
        for _ in range(2):
            assert (await database.execute(new, key)).one() == (read,)
        assert (await database.execute(select(notes.c.data))).all() == [(read,)]


def test_a_driver_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    """The error says what to install."""
    monkeypatch.setitem(sys.modules, "psycopg", None)
    monkeypatch.delitem(sys.modules, "neonkit.db._wire.psycopg", raising=False)
    with pytest.raises(ConfigurationError, match=r"pip install 'psycopg\[binary\]'"):
        create_engine("postgresql://ada@localhost/d", driver="psycopg")


async def test_both_timeouts_are_in_force_on_the_server(db: Database) -> None:
    """A direct connection has them from its start, a transaction sets them with its BEGIN."""
    timeouts = TimeoutPolicy(statement=3, lock=1)
    async with _database(db, timeouts=timeouts) as database:
        assert await _ask(database, "SHOW statement_timeout") == "3s"
        assert await _ask(database, "SHOW lock_timeout") == "1s"
        source = "SELECT source FROM pg_settings WHERE name = 'lock_timeout'"
        engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            assert (await connection.execute(text(source))).scalar() == "client"


async def test_a_request_bounds_its_statements(db: Database) -> None:
    """What is left of the request's deadline bounds each wait; the connection is not reused."""
    with open_scope(0.3) as scope:
        started = time.monotonic()
        with pytest.raises(TimeoutError) as caught:
            await _ask(db, "SELECT pg_sleep(30)")
        assert time.monotonic() - started < 3
        assert 0.2 < scope.seconds < 3
    fault = fault_of(caught.value)
    assert fault is not None
    assert fault.kind is FaultKind.UNAVAILABLE
    assert await _ask(db, "SELECT 1") == 1


async def test_a_statement_timeout_leaves_the_connection_usable(db: Database) -> None:
    """The server's own timeout is a fault of its own kind, and costs no connection."""
    async with _database(db, timeouts=TimeoutPolicy(statement=0.2, lock=0.1)) as database:
        with pytest.raises(DBAPIError) as caught:
            await _ask(database, "SELECT pg_sleep(30)")
        fault = fault_of(caught.value)
        assert fault is not None
        assert fault.kind is FaultKind.STATEMENT_TIMEOUT
        assert await _ask(database, "SELECT 1") == 1


async def test_connections_that_the_server_closed_are_replaced(db: Database) -> None:
    """After the server ended all idle connections, every next use succeeds at once."""
    async with _database(db) as database:

        async def hold() -> object:
            return await _ask(database, "SELECT pg_backend_pid() FROM pg_sleep(0.05)")

        pids = await asyncio.gather(*(hold() for _ in range(5)))
        assert len(set(pids)) == 5
        await _ask(db, f"SELECT count(pg_terminate_backend(pid)) FROM unnest(ARRAY{pids}) AS pid")
        await asyncio.sleep(0.05)
        again = await asyncio.gather(*(hold() for _ in range(5)))
        assert not set(pids) & set(again)


async def test_an_idle_connection_is_replaced_when_next_wanted(db: Database) -> None:
    """One that idled for longer than the policy says is not used again."""
    async with _database(db, pool=PoolPolicy(recycle=0.1)) as database:
        first = await _ask(database, "SELECT pg_backend_pid()")
        assert await _ask(database, "SELECT pg_backend_pid()") == first
        await asyncio.sleep(0.2)
        assert await _ask(database, "SELECT pg_backend_pid()") != first


async def test_what_was_opened_is_kept(db: Database) -> None:
    """Under a steady load no connection is opened beyond the first of each slot."""
    opened = 0
    async with _database(db, pool=PoolPolicy(size=1, overflow=3)) as database:

        @event.listens_for(database.engine.sync_engine, "connect")
        def count(_connection: object, _record: object) -> None:
            nonlocal opened
            opened += 1

        for _ in range(5):
            await asyncio.gather(*(_ask(database, "SELECT pg_sleep(0.01)") for _ in range(4)))
    assert opened == 4


async def test_a_busy_pool_sheds(db: Database) -> None:
    """A wait for a busy pool is bounded; at most 20 wait for each slot, the next is refused."""
    policy = PoolPolicy(size=1, overflow=0, timeout=0.5)
    async with _database(db, pool=policy) as database:
        holder = asyncio.create_task(_ask(database, "SELECT pg_sleep(1.5)"))
        await asyncio.sleep(0.2)
        waiting = [asyncio.create_task(_ask(database, "SELECT 1")) for _ in range(20)]
        await asyncio.sleep(0.1)
        with pytest.raises(OverloadedError):
            await _ask(database, "SELECT 1")
        outcomes = await asyncio.gather(*waiting, return_exceptions=True)
        assert {type(outcome) for outcome in outcomes} == {PoolTimeout}
        assert fault_of(outcomes[0]).kind is FaultKind.POOL_TIMEOUT  # type: ignore[arg-type,union-attr]  # an exception, as just seen
        await holder


async def test_cancelling_gives_the_connection_back(db: Database) -> None:
    """A cancelled task leaves neither a slot taken nor a query running for longer than 1 s."""
    async with _database(db, pool=PoolPolicy(size=1, overflow=0)) as database:
        for _ in range(3):
            task = asyncio.create_task(_ask(database, "SELECT pg_sleep(30) /* cancelled */"))
            await asyncio.sleep(0.2)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            async with asyncio.timeout(1):
                assert await _ask(database, "SELECT 1") == 1
        running = (
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE '%/* cancelled%' "
            "AND state = 'active' AND pid <> pg_backend_pid()"
        )
        async with asyncio.timeout(1):
            while await _ask(db, running):  # noqa: ASYNC110  # the server does not tell
                await asyncio.sleep(0.05)


async def test_a_database_that_is_away_is_waited_for(
    tmp_path: Path, database_driver: Driver
) -> None:
    """While it is away requests wait beyond the pool's timeout, and succeed when it is back."""
    server = await LocalServer.start(tmp_path, is_durable=False)
    policy = PoolPolicy(size=1, overflow=0, timeout=0.2)
    engine = create_engine(server.url, driver=database_driver, pool=policy)
    async with Database(engine) as database:
        assert await _ask(database, "SELECT 1") == 1
        await server.stop()
        await asyncio.sleep(0.3)
        with open_scope(10):
            waiting = [asyncio.create_task(_ask(database, "SELECT 1")) for _ in range(5)]
            await asyncio.sleep(1)
            assert not any(task.done() for task in waiting)
            assert database.health.is_failing
            for task in waiting:
                task.cancel()
            await asyncio.gather(*waiting, return_exceptions=True)
        with open_scope(0.5), pytest.raises((OSError, DBAPIError), match=r"(?i)connect"):
            await _ask(database, "SELECT 1")


async def test_a_probe_has_a_connection_of_its_own(db: Database) -> None:
    """It answers while the pool is exhausted, and keeps one connection at most."""
    async with _database(db, pool=PoolPolicy(size=1, overflow=0)) as database:
        holder = asyncio.create_task(_ask(database, "SELECT pg_sleep(0.5)"))
        await asyncio.sleep(0.1)
        async with asyncio.timeout(0.3):
            for _ in range(5):
                await database.probe()
        await holder
        sessions = (
            "SELECT count(*) FROM pg_stat_activity "
            "WHERE datname = current_database() AND backend_type = 'client backend'"
        )
        mine = await _ask(database, sessions)
        assert mine == 2 + db.engine.sync_engine.pool.checkedin()  # type: ignore[attr-defined]  # our Pool


async def _insert_secret(db: Database, secret: str) -> None:
    async with db.session() as session:
        connection = await session.connection()
        await connection.execute(text("CREATE TEMP TABLE t (secret text UNIQUE, n int)"))
        row = {"secret": secret, "n": 1}
        await connection.execute(text("INSERT INTO t VALUES (:secret, :n)"), row)
        await connection.execute(text("INSERT INTO t VALUES (:secret, :n)"), row)


@pytest.mark.parametrize("ending", ["", "\0", "\ud800"])
async def test_errors_hold_no_values(db: Database, ending: str) -> None:
    """Neither a row's values nor a parameter's are in an error's text, chain included."""
    with pytest.raises((DBAPIError, UnicodeEncodeError)) as caught:
        await _insert_secret(db, f"hunter2{ending}")
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "hunter2" not in f"{chain}{chain!r}{getattr(chain, 'diag', '')}"
        assert not getattr(getattr(chain, "diag", None), "message_detail", None)
        chain = chain.__cause__


async def test_a_deferred_rule_fails_a_statement_that_is_a_whole_unit_of_work(
    db: Database,
) -> None:
    """Its fault is the rule's, nothing stays, and its connection is used again."""
    rule = "CREATE TABLE late (n int UNIQUE DEFERRABLE INITIALLY DEFERRED)"
    await db.execute(text(rule))
    pid = (await db.execute(text("INSERT INTO late VALUES (1) RETURNING pg_backend_pid()"))).one()

    for _ in range(2):
        with pytest.raises(DBAPIError) as caught:
            await db.execute(text("INSERT INTO late VALUES (1)"))
        fault = fault_of(caught.value)
        assert fault is not None
        assert (fault.kind, fault.constraint) == (FaultKind.DUPLICATE, "late_n_key")

    counted = await db.execute(text("SELECT count(*), pg_backend_pid() FROM late"))
    assert counted.one() == (1, *pid)


async def test_a_plan_older_than_its_table_is_made_anew(db: Database) -> None:
    """A prepared statement whose table was changed by another is sent again, and nobody sees it."""
    async with _database(db, pool=PoolPolicy(size=1, overflow=0)) as database:
        await database.execute(text("CREATE TABLE changing (a int)"))
        for _ in range(7):
            await _ask(database, "SELECT * FROM changing")
        await db.execute(text("ALTER TABLE changing ADD b int"))

        for _ in range(7):
            await _ask(database, "SELECT * FROM changing")
