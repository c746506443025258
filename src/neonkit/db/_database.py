"""The one object that a process owns."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import ColumnElement, Executable, MetaData, Result, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit.db._keys.keys import Key
from neonkit.db._keys.transactions import run_unit
from neonkit.db._schema import bring_schema
from neonkit.db._statements.execution import StatementRoute, StatementUnit, execute_once
from neonkit.db._statements.templates import Condition, bind, unbound
from neonkit.db._units.retries import RetryBudget, retry_contention
from neonkit.db._units.sessions import LentSession, session_factory
from neonkit.db._units.uncommitted_writes import watch_writes
from neonkit.db._wire.connector import Connector, Probe
from neonkit.db._wire.dialect import NeonDialect
from neonkit.db._wire.observed_health import ObservedHealth
from neonkit.db._wire.pool import Pool, PoolUse
from neonkit.errors import ConfigurationError

Answer = TypeVar("Answer")

_CREATE_ALL_LOCK = 0x6E656F6E  # "neon": any number, the same in every process


class Database:
    """Sessions over one engine, for requests, scripts, tasks and sockets alike.

    Args:
        engine: from `create_engine`. The database owns it, and `close` disposes of it.
        lone_writes: let a unit of work that is one INSERT, UPDATE or DELETE commit as itself, in
            one round trip instead of three.
    """

    def __init__(self, engine: AsyncEngine, *, lone_writes: bool = True) -> None:
        self.engine = engine
        self._retries = RetryBudget()
        self._probe = Probe(_connector_of(engine))
        watch_writes(engine.sync_engine)
        self._road = StatementRoute(engine.sync_engine, self.session, is_lone=lone_writes)
        self._writers = session_factory(engine, lone_writes=lone_writes)
        self._readers = session_factory(
            engine.execution_options(postgresql_readonly=True), is_read_only=True
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    def session(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Lend a session for an `async with` block; nothing is sent before it is used.

        Only the block commits. One that ends without an exception but with uncommitted work
        is rolled back and raises `UncommittedError`.
        """
        return LentSession(self._writers)

    def read_session(self) -> AbstractAsyncContextManager[AsyncSession]:
        """Lend a session that only reads: a flush is refused here, a write by the server."""
        return LentSession(self._readers)

    async def run_transaction(
        self, work: Callable[[AsyncSession], Awaitable[Answer]], key: Key | None = None
    ) -> Answer:
        """Run a function of a session, commit, and return what it returned.

        It is run again, as a whole and on a fresh session, when it collides with another
        transaction (SQLSTATE 40001, 40P01, 55P03), inside the request's deadline: it must do
        nothing else that cannot be repeated. It does not commit.

        Under a key it happens once: what it returns, a response model that its return annotation
        names, is kept in the same transaction, and a repeat gets it again. An error of ours with a
        4xx status that is kept undoes its effect and is kept in its place.

        Raises:
            IdempotencyKeyReusedError: the key was used for another body.
            IdempotencyInProgressError: the first request with this key is still running.
            UnstorableAnswerError: there is a key, and no response model.
        """
        return await retry_contention(lambda: run_unit(self.session, work, key), self._retries)

    async def execute(
        self,
        statement: Executable,
        key: Key | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        condition: ColumnElement[bool] | Condition | None = None,
    ) -> Result[Any]:
        """Execute one statement that is a whole unit of work, commit, and return its rows by name.

        It takes one round trip. Under a key it happens once: a repeat gets the same values of the
        same types, without an effect. It is run again as `run_transaction` runs its function again.

        Key and condition travel inside of an INSERT, UPDATE or DELETE with RETURNING, and of a
        SELECT; what `text()` makes takes a transaction of several round trips for them.

        Args:
            statement: all that there is to do.
            key: under which it happens once.
            parameters: values of its `bindparam`s, by name.
            condition: what must hold for it to happen at all, such as who calls.

        Raises:
            ConditionFailedError: the condition did not hold; nothing happened.
            IdempotencyKeyReusedError: the key was used for another body.
            IdempotencyInProgressError: the first request with this key is still running.
        """
        patience = _connector_of(self.engine).timeouts.lock
        if condition is None or isinstance(condition, Condition):
            bound, under = bind(statement), condition.bound if condition else None
        else:  # it may speak of the statement's own aliases
            bound, under = unbound(statement), unbound(condition)
        given = bound._replace(values={**bound.values, **(parameters or {})})
        once = StatementUnit(given, key, under, patience)
        return await retry_contention(lambda: execute_once(self._road, once), self._retries)

    @property
    def is_local(self) -> bool:
        """The database is on this machine, judged by its address."""
        return _connector_of(self.engine).dsn.is_local

    async def bring_schema(self) -> None:
        """Make the toolkit's own tables, where they are missing or of an older release."""
        async with self.engine.begin() as connection:
            await bring_schema(connection)

    @asynccontextmanager
    async def sandbox(self) -> AsyncIterator[AsyncConnection]:
        """Bind every session of the block to one transaction that is rolled back after it.

        A commit releases a savepoint. For tests: sessions of the block share a connection, so
        they cannot run at the same time.
        """
        usual = self._road, self._writers, self._readers
        async with self.engine.connect() as connection:
            bind = (await connection.begin()).connection.sync_connection
            assert bind is not None, "it has begun"  # noqa: S101
            self._road = replace(self._road, bind=bind)
            self._writers = session_factory(connection)
            self._readers = session_factory(connection, is_read_only=True)
            try:
                yield connection
            finally:
                self._road, self._writers, self._readers = usual

    @property
    def pulse(self) -> ObservedHealth:
        """What traffic shows of the database's health."""
        return _connector_of(self.engine).pulse

    @property
    def pool_use(self) -> PoolUse:
        """How busy the pool is at this moment."""
        pool = self.engine.sync_engine.pool
        assert isinstance(pool, Pool), "create_engine's"  # noqa: S101
        return pool.use

    async def probe(self) -> None:
        """Ask the database whether it is there, on a connection beside the pool.

        One attempt; raises whatever goes wrong. Wrap it in `asyncio.timeout` to bound it.
        """
        await self._probe()

    async def create_all(self, metadata: MetaData) -> None:
        """Make the missing tables of `metadata`; safe from many processes at once.

        For a quick start and for tests. It never changes a table that is there: migrations do.
        """
        async with self.engine.begin() as connection:
            lock = text("SELECT pg_advisory_xact_lock(:key)")
            await connection.execute(lock, {"key": _CREATE_ALL_LOCK})
            await connection.run_sync(metadata.create_all)

    async def close(self) -> None:
        """Close every connection; sessions that are still lent lose theirs."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._probe.close())
            group.create_task(self.engine.dispose())


def _connector_of(engine: AsyncEngine) -> Connector[Any]:
    dialect = engine.sync_engine.dialect
    if not isinstance(dialect, NeonDialect):
        raise ConfigurationError(
            f"Database needs an engine made by neonkit.create_engine, not one for {engine.url!r}"
        )
    return dialect.connector
