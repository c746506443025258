"""The one object that a process owns."""

import asyncio
import logging
import time
import warnings
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from types import TracebackType
from typing import Any, Self, TypeVar

from sqlalchemy import Executable, MetaData, Result, text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from neonkit.db._conditions import Condition, Conditions, Guard
from neonkit.db._keys.keys import Key
from neonkit.db._keys.marks import MarkedUnit
from neonkit.db._keys.transactions import run_keyed_unit, run_unit
from neonkit.db._schema import bring_schema
from neonkit.db._scope import current_scope
from neonkit.db._statements.execution import (
    StatementRoute,
    StatementUnit,
    execute_unit,
    judge_guard,
)
from neonkit.db._tables import make_tables
from neonkit.db._templates import bind
from neonkit.db._units.retries import retry
from neonkit.db._units.sessions import AsyncSession, LentSession, session_factory
from neonkit.db._wire.connector import Connector, Probe
from neonkit.db._wire.dialect import NeonDialect
from neonkit.db._wire.observed_health import ObservedHealth, Witness
from neonkit.db._wire.pool import Pool, PoolUse
from neonkit.db._wire.sandboxed_connection import sharing
from neonkit.errors import ConfigurationError

Answer = TypeVar("Answer")

_log = logging.getLogger("neonkit")

_EXTENSION = "made the extension %s, which a model needs; a database of yours may have to allow it"
_CREATE_ALL_LOCK = 0x6E656F6E  # "neon": any number, the same in every process


class Database:
    """Sessions over one engine, for requests, scripts, tasks and sockets alike.

    Args:
        engine: from `create_engine`. The database owns it, and `close` disposes of it.
        lone_writes: let a unit of work that is one INSERT, UPDATE or DELETE commit as itself, in
            one round trip instead of three.
        open_reads: let plain reads go without a transaction, in one round trip instead of two or
            three.
        ready_plans: let the plain reads of sessions on asyncpg go by ready plans, past
            SQLAlchemy's own execution.
    """

    _is_open = False

    def __init__(
        self,
        engine: AsyncEngine,
        *,
        lone_writes: bool = True,
        open_reads: bool = True,
        ready_plans: bool = True,
    ) -> None:
        self._connector = connector = _connector_of(engine)
        self.engine = engine
        self._probe = Probe(connector)
        self._route = StatementRoute(
            engine.sync_engine, self.session, is_lone=lone_writes, is_open=open_reads
        )
        reads = {"open_reads": open_reads, "ready_plans": ready_plans}
        self._writers = session_factory(engine, lone_writes=lone_writes, **reads)
        self._readers = session_factory(engine, is_read_only=True, **reads)
        self._sandbox: AsyncConnection | None = None
        self._is_open = True

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
        transaction (SQLSTATE 40001, 40P01, 55P03) or loses its connection, inside the request's
        deadline and before its response begins: it must do nothing else that cannot be repeated.
        It does not commit. To know after a lost COMMIT whether that had arrived, its transaction
        leaves a mark among the toolkit's keys, where the database has these.

        Under a key it happens once: what it returns, a response model that its return annotation
        names, is kept in the same transaction, and a repeat gets it again. An error of ours with a
        4xx status that is kept undoes its effect and is kept in its place.

        Raises:
            IdempotencyKeyReusedError: the key was used for another body.
            IdempotencyInProgressError: the first request with this key is still running.
            UnstorableAnswerError: there is a key, and no response model.
        """
        lend, connector = self.session, self._connector
        if key is not None:
            return await retry(lambda: run_keyed_unit(lend, work, key), connector, key.keeps)
        if not connector.has_keys:
            return await retry(lambda: run_unit(lend, work), connector)
        unit = MarkedUnit(lend, work)
        return await retry(unit.run, connector, unit.is_certain)

    async def execute(
        self,
        statement: Executable,
        key: Key | None = None,
        *,
        parameters: Mapping[str, Any] | None = None,
        conditions: Sequence[Condition] = (),
    ) -> Result[Any]:
        """Execute one statement that is a whole unit of work, commit, and return its rows by name.

        It takes one round trip. Under a key it happens once: a repeat gets the same values of the
        same types, without an effect. It is sent again as `run_transaction` runs its function
        again; a write without a key only where nothing can have been committed.

        Key and conditions travel inside of an INSERT, UPDATE or DELETE with RETURNING, and of a
        SELECT; `text()`, a write without RETURNING and an INSERT of several sets of values take a
        round trip more for the conditions, and a transaction of several for the key. The scope's
        guard, such as who calls, is the first of the conditions.

        Args:
            statement: all that there is to do.
            key: under which it happens once.
            parameters: values of its `bindparam`s, by name.
            conditions: what must hold for it to happen at all; the first that fails decides the
                error.

        Raises:
            ConditionFailedError: a condition without an error of its own did not hold.
            IdempotencyKeyReusedError: the key was used for another body.
            IdempotencyInProgressError: the first request with this key is still running.
        """
        bound = bind(statement)
        if parameters:
            bound = bound._replace(values={**bound.values, **parameters})
        under = Conditions.of(conditions, current_scope().guard)
        unit = StatementUnit(bound, key, under, self._connector.timeouts.lock)
        decides = None if key is None else key.keeps
        return await retry(lambda: execute_unit(self._route, unit), self._connector, decides)

    async def judge(self, guard: Guard) -> None:
        """Ask a guard's condition in a round trip of its own.

        Raises:
            Exception: its failure, where it does not hold.
        """
        await retry(lambda: judge_guard(self._route, guard), self._connector)

    @property
    def is_local(self) -> bool:
        """The database is on this machine, judged by its address."""
        return self._connector.dsn.is_local

    @property
    def max_connections(self) -> int | None:
        """Sessions that the server admits in all; `None` before the first connection."""
        facts = _connector_of(self.engine).facts
        return None if facts is None else facts.max_connections

    async def bring_schema(self) -> None:
        """Make the toolkit's own tables, where they are missing or of an older release."""
        async with self.engine.begin() as connection:
            await bring_schema(connection)
        self._connector.has_keys = True

    @asynccontextmanager
    async def sandbox(self) -> AsyncIterator[AsyncConnection]:
        """Bind every session of the block to one transaction that is rolled back after it.

        So is whatever connects by the engine. A commit releases a savepoint. For tests: all of the
        block share a connection, so they cannot run at the same time. A sandbox in another one is a
        savepoint of it.
        """
        if self._sandbox is not None:
            savepoint = await self._sandbox.begin_nested()
            try:
                yield self._sandbox
            finally:
                await savepoint.rollback()
            return
        usual = self._route, self._writers, self._readers
        async with self.engine.connect() as connection:
            bind = (await connection.begin()).connection.sync_connection
            assert bind is not None, "it has begun"  # noqa: S101
            self._route = replace(self._route, bind=bind)
            self._writers = session_factory(connection)
            self._readers = session_factory(connection, is_read_only=True)
            self._sandbox = connection
            try:
                with sharing(self.engine.sync_engine, bind):
                    yield connection
            finally:
                self._sandbox = None
                self._route, self._writers, self._readers = usual

    @property
    def health(self) -> ObservedHealth:
        """The database's health, as traffic shows it."""
        return self._connector.health

    def watch(self, witness: Witness) -> None:
        """Tell somebody of wake-ups, of waits for a connection and of attempts made again."""
        self.health.witness = witness

    @property
    def pool_use(self) -> PoolUse:
        """How busy the pool is at this moment."""
        return self._pool.use

    @property
    def is_full(self) -> bool:
        """True if as many wait for a connection as may."""
        return self._pool.is_full

    @property
    def waiting(self) -> int:
        """How many wait for a busy pool; for a database that is away nothing moves."""
        return 0 if self._pool.is_away else self.pool_use.waiting

    @property
    def is_catching_up(self) -> bool:
        """True if it was away, and those who waited for it may not have been served yet."""
        since = time.monotonic() - self.health.back_at
        return since < _connector_of(self.engine).timeouts.request

    @property
    def _pool(self) -> Pool:
        pool = self.engine.sync_engine.pool
        assert isinstance(pool, Pool), "create_engine's"  # noqa: S101
        return pool

    async def probe(self) -> None:
        """Ask the database whether it is there, on a connection beside the pool.

        One attempt; raises whatever goes wrong. Wrap it in `asyncio.timeout` to bound it.
        """
        await self._probe()

    async def create_all(self, *metadatas: MetaData) -> None:
        """Make the missing tables of `metadata`; safe from many processes at once.

        Schemas and extensions that they need are made before them. For a quick start and for
        tests. It never changes a table that is there: migrations do.
        """
        async with self.engine.begin() as connection:
            lock = text("SELECT pg_advisory_xact_lock(:key)")
            await connection.execute(lock, {"key": _CREATE_ALL_LOCK})
            made = await connection.run_sync(make_tables, *metadatas)
        for name in made.extensions:
            _log.warning(_EXTENSION, name)

    async def close(self) -> None:
        """Close every connection; sessions that are still lent lose theirs."""
        self._is_open = False
        async with asyncio.TaskGroup() as group:
            group.create_task(self._probe.close())
            group.create_task(self.engine.dispose())

    def __del__(self) -> None:
        if self._is_open:
            warnings.warn(
                f"the Database for {self.engine.url!r} was never closed: call `await db.close()`, "
                "or use it as `async with Database(engine) as db:`",
                ResourceWarning,
                stacklevel=1,
                source=self,
            )


def _connector_of(engine: AsyncEngine) -> Connector[Any]:
    dialect = engine.sync_engine.dialect
    if not isinstance(dialect, NeonDialect):
        raise ConfigurationError(
            f"Database needs an engine made by neonkit.create_engine, not one for {engine.url!r}"
        )
    return dialect.connector
