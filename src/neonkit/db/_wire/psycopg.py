"""Everything that is psycopg's: how to connect, what one wait on the wire is, what a fault says.

Each statement is a pipeline: BEGIN, what has to be prepared and what no longer has to be travel
with it, in its one round trip.
"""

import asyncio
import select
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Collection, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any

import psycopg
from psycopg import generators, pq, waiting
from psycopg.abc import PQGen
from psycopg.adapt import AdaptersMap
from psycopg.pq.abc import PGconn, PGresult
from sqlalchemy import URL
from sqlalchemy.dialects.postgresql import psycopg as stock
from sqlalchemy.util.concurrency import in_greenlet

from neonkit.db._scope import current_scope
from neonkit.db._wire import connector
from neonkit.db._wire.connection import UnitOfWorkConnection, forget_text
from neonkit.db._wire.connector import (
    CLEANUP_SECONDS,
    FACTS,
    ServerFacts,
    read_facts,
)
from neonkit.db._wire.dialect import NeonDialect
from neonkit.dsn import Dsn

_cancelling: set[asyncio.Task[None]] = set()  # the event loop itself holds its tasks weakly
_PREPARED_AFTER = 5  # executions, which is psycopg's own threshold
_STALE = {"0A000", "26000"}  # what a prepared statement that is out of date fails with
_HARMLESS = (
    pq.DiagnosticField.SEVERITY,
    pq.DiagnosticField.SEVERITY_NONLOCALIZED,
    pq.DiagnosticField.SQLSTATE,
    pq.DiagnosticField.MESSAGE_PRIMARY,
    pq.DiagnosticField.SCHEMA_NAME,
    pq.DiagnosticField.TABLE_NAME,
    pq.DiagnosticField.COLUMN_NAME,
    pq.DiagnosticField.DATATYPE_NAME,
    pq.DiagnosticField.CONSTRAINT_NAME,
    pq.DiagnosticField.SOURCE_FUNCTION,
)


class _Flight(psycopg.AsyncPipeline):
    """psycopg's pipeline, sent as a whole when it ends, and ended by Sync alone.

    psycopg sends Flush after it, at which PostgreSQL takes the session for busy: it would never
    end one that idles in a transaction (`idle_in_transaction_session_timeout`).
    """

    _conn: Any
    _before = 0
    _error: psycopg.Error | None = None

    def add(self, commands: Sequence[str]) -> None:
        """Send commands without parameters before whatever comes next."""
        for command in commands:
            query = partial(self.pgconn.send_query_params, command.encode(), None)
            self.command_queue.append(query)
            self.result_queue.append(None)
        self._before = len(commands)

    def abandon(self) -> None:
        """Send nothing, since not all of it could be made."""
        if len(self.command_queue) > self._before:
            self._conn.forget_statements()  # one may be noted as prepared
        self.command_queue.clear()
        self.result_queue.clear()

    def _communicate_gen(self) -> PQGen[None]:
        yield from ()

    def _exit_gen(self) -> PQGen[None]:
        if not self.command_queue:
            return
        self._enqueue_sync()
        self._conn.count()
        while self.command_queue:
            self.command_queue.popleft()()
        yield from generators.send(self.pgconn)
        try:
            yield from self._fetch_gen(flush=False)
        except psycopg.Error as error:
            raise self._error or error from None

    def _process_results(self, queued: Any, results: list[PGresult]) -> None:
        if not self.result_queue and results[0].status == pq.ExecStatus.FATAL_ERROR:
            # what fails at the very end, such as a deferred constraint, comes before Sync's answer
            self.result_queue.append(None)
        try:
            super()._process_results(queued, results)
        except psycopg.Error as error:
            # kept, since a server that hangs up says why before
            self._error = self._error or error
            raise

    def _exit(self, exc: BaseException | None) -> None:
        if not self._conn.is_left:  # or it is busy, and will be closed as it is
            super()._exit(exc)


class _Connection(psycopg.AsyncConnection[tuple[Any, ...]]):
    """psycopg's connection, with a count of its round trips.

    Who gives up a wait does not wait for the statement to end, as with psycopg's own: for everybody
    the connection is closed then, and the server is told to cancel in the background.

    Attributes:
        trips: round trips since it was opened, the opening excepted.
        is_left: whether somebody gave up waiting in the middle of a statement.
    """

    trips = 0
    is_left = False

    async def send(self, command: str) -> Sequence[PGresult]:
        """Send a command that has no parameters, and wait for its end."""
        self.count()
        async with self.lock:
            results: list[PGresult] = await self.wait(_answers(self.pgconn, command.encode()))
        for result in results:
            if result.status == pq.ExecStatus.FATAL_ERROR:
                raise psycopg.errors.error_from_result(result)
        return results

    @asynccontextmanager
    async def flight(self, before: Sequence[str] = ()) -> AsyncIterator[None]:
        """Send what the block executes together, and wait for all of it at its end.

        Args:
            before: commands without parameters that go first.
        """
        flight = self._pipeline = _Flight(self)
        try:
            async with flight:
                flight.add(before)
                try:
                    yield
                except BaseException:
                    flight.abandon()
                    raise
        finally:
            self._pipeline = None

    def count(self, trips: int = 1) -> None:
        """Count what is about to be waited for."""
        self.trips += trips
        current_scope().trips += trips

    async def wait(
        self, gen: PQGen[Any], interval: float = 0.1, timeout: float | None = None
    ) -> Any:
        """Wait for the server; who is cancelled meanwhile leaves the connection."""
        try:
            return await waiting.wait_async(gen, self.pgconn.socket, interval, timeout)
        except asyncio.CancelledError:
            self._leave()
            raise

    def _leave(self) -> None:
        if self.pgconn.transaction_status != pq.TransactionStatus.ACTIVE:
            self.terminate()
            return
        self.is_left = True
        cancelling = asyncio.create_task(self._cancel())
        _cancelling.add(cancelling)
        cancelling.add_done_callback(_cancelling.discard)

    async def _cancel(self) -> None:
        try:
            with suppress(psycopg.Error):
                await self.cancel_safe(timeout=CLEANUP_SECONDS)
        finally:
            self.pgconn.finish()

    def forget_statements(self) -> None:
        """Prepare everything anew; the next statement tells the server to forget them too."""
        self._prepared.clear()

    def is_closed(self) -> bool:
        """Whether it is closed; what the server said meanwhile is read, and its end noticed."""
        with suppress(psycopg.OperationalError):
            while not (self.is_left or self.closed) and _is_readable(self.pgconn.socket):
                self.pgconn.consume_input()
        return self.is_left or self.closed

    def terminate(self) -> None:
        """Close it at once."""
        if not self.is_left:
            self.pgconn.finish()


def _answers(pgconn: PGconn, command: bytes) -> PQGen[list[PGresult]]:
    pgconn.send_query(command)
    results: list[PGresult] = yield from generators.execute(pgconn)
    return results


def _is_readable(descriptor: int) -> bool:
    if not hasattr(select, "poll"):  # on Windows
        return bool(select.select([descriptor], [], [], 0)[0])
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    return bool(poll.poll(0))


class Connector(connector.Connector[_Connection]):
    """Opens connections of psycopg's.

    On Windows its event loop must be a selector loop, as psycopg's documentation says.

    Attributes:
        adapters: how values are turned into PostgreSQL's, and back.
    """

    adapters: AdaptersMap | None = None

    async def _open(self, dsn: Dsn) -> _Connection:
        address: dict[str, Any] = dsn.for_psycopg()
        # psycopg begins no transaction by itself: BEGIN would take a round trip of its own
        return await _Connection.connect(
            **address, client_encoding="utf8", autocommit=True, context=self.adapters
        )

    async def _learn(self, connection: _Connection) -> ServerFacts:
        (result,) = await connection.send(FACTS)
        server = connection.pgconn
        return read_facts(
            result.get_value(0, 0) or b"",
            version=divmod(server.server_version, 10_000),
            pid=server.backend_pid,
            has_standard_strings=server.parameter_status(b"standard_conforming_strings") == b"on",
        )


class AdaptedCursor(stock.AsyncAdapt_psycopg_cursor):
    """SQLAlchemy's cursor, bounded in time, that keeps the command tag.

    Attributes:
        command_tag: what the server said it did, such as `INSERT 0 1`; `None` for a batch.
        trips: round trips of the last statement, those of its BEGIN and its preparation included.
    """

    __slots__ = ("_adapted", "command_tag", "trips")
    _cursor: Any

    def __init__(self, adapt_connection: "AdaptedConnection") -> None:
        super().__init__(adapt_connection)
        self._adapted = adapt_connection
        self.command_tag: str | None = None
        self.trips = 0

    def _aenter_cursor(self, cursor: Any) -> Any:
        # psycopg's enters as itself, without waiting; where nobody can wait, it is said here
        return cursor if in_greenlet() else super()._aenter_cursor(cursor)

    async def _execute_async(self, operation: Any, parameters: Any) -> None:
        if self._adapted.is_holding:
            self._adapted.held = operation, parameters
            self.command_tag = "EXPLAIN"
            return
        await self._adapted.perform(self, self._fly(self._cursor.execute, operation, parameters))
        self.command_tag = self._cursor.statusmessage
        if self._cursor.description is not None:
            self._rows = deque(await self._cursor.fetchall())

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> None:
        self._adapted.is_alone = False
        await self._adapted.perform(
            self, self._fly(self._cursor.executemany, operation, seq_of_parameters)
        )

    async def _fly(self, execute: Any, operation: Any, parameters: Any) -> None:
        adapted = self._adapted
        connection = adapted.driver
        held, adapted.held = adapted.held, None
        try:
            async with connection.flight(adapted.beginning() if adapted.must_begin else ()):
                before = held and await connection.execute(*held)
                await execute(operation, parameters)
        finally:
            adapted.see_state()
        if before is not None:
            adapted.told = await before.fetchall()


class ServerSideCursor(stock.AsyncAdapt_psycopg_ss_cursor):
    """The same for `stream()`: no tag, since its rows are still to come."""

    __slots__ = ("_adapted", "trips")
    _cursor: Any
    command_tag = None

    def __init__(self, adapt_connection: "AdaptedConnection", name: str) -> None:
        super().__init__(adapt_connection, name)
        self._adapted = adapt_connection
        self.trips = 0

    def _aenter_cursor(self, cursor: Any) -> Any:
        return cursor

    async def _execute_async(self, operation: Any, parameters: Any) -> None:
        await self._adapted.perform(self, self._declare(operation, parameters))

    async def _declare(self, operation: Any, parameters: Any) -> None:
        await self._adapted.begin()
        self._adapted.driver.count(2)  # DECLARE, and what its columns are
        await self._cursor.execute(operation, parameters)

    def fetchone(self) -> Any:
        """The next row."""
        return self._fetch(self._cursor.fetchone())

    def fetchmany(self, size: int | None = None) -> Any:
        """The next rows."""
        return self._fetch(self._cursor.fetchmany(size or self.arraysize))

    def fetchall(self) -> Any:
        """All further rows."""
        return self._fetch(self._cursor.fetchall())

    def close(self) -> None:
        """Close it, on the server as well where its transaction is alive."""
        cursor, self._cursor = self._cursor, None
        if cursor is None:
            return
        if self._adapted.driver.pgconn.transaction_status == pq.TransactionStatus.INTRANS:
            self._fetch(cursor.close())
        else:
            self._adapted.wait_for(cursor.close())

    def _fetch(self, waiting: Awaitable[Any]) -> Any:
        self._adapted.driver.count()
        return self._adapted.wait_for(self._adapted.wire(waiting))


class AdaptedConnection(UnitOfWorkConnection, stock.AsyncAdapt_psycopg_connection):
    """SQLAlchemy's adapted connection of psycopg's."""

    can_hold = True

    def __init__(self, dbapi: Any, connection: _Connection, connector: Connector) -> None:
        super().__init__(dbapi, connection, connector)
        # libpq before 17 would say DEALLOCATE to a pooler, which knows no such name
        keeps = connector.tracks_statements and psycopg.capabilities.has_send_close_prepared()
        connection.prepare_threshold = _PREPARED_AFTER if keeps else None
        self.driver = connection

    @property
    def trips(self) -> int:  # type: ignore[override]  # it is only read
        """Round trips since it was opened, the opening excepted."""
        return self.driver.trips

    def cursor(self, name: str | None = None, /) -> Any:  # type: ignore[override]  # as SQLAlchemy's own for psycopg
        """A cursor; one on the server where it has a name."""
        return ServerSideCursor(self, name) if name else AdaptedCursor(self)

    def see_state(self) -> None:
        """Note whether a transaction is open, as the server said with its last answer."""
        status = self.driver.pgconn.transaction_status
        if status != pq.TransactionStatus.UNKNOWN:
            self.has_begun = status != pq.TransactionStatus.IDLE

    def close(self) -> None:
        """Close it; that waits for nothing."""
        self.driver.terminate()

    terminate = close

    def _forget_values(self, error: Exception) -> None:
        if isinstance(error, UnicodeEncodeError):
            forget_text(error)
        elif isinstance(error, psycopg.Error) and error.pgresult is not None:
            if error.sqlstate in _STALE:
                self.driver.forget_statements()
            kept: dict[int, bytes | None] = dict.fromkeys(pq.DiagnosticField)
            kept.update((field, error.pgresult.error_field(field)) for field in _HARMLESS)
            error.args = (error.diag.message_primary,)
            error._info = kept


class Dialect(NeonDialect, stock.PGDialectAsync_psycopg):  # pyright: ignore[reportIncompatibleMethodOverride]  # SQLAlchemy has two names for one parameter
    """`postgresql+psycopg`."""

    supports_statement_cache = True
    adapter = AdaptedConnection

    def __init__(
        self, connector: Connector, plain_functions: Collection[str] = (), **kwargs: Any
    ) -> None:
        # to find out what hstore's type is called would cost a new process three round trips
        super().__init__(connector, plain_functions, use_native_hstore=False, **kwargs)
        connector.adapters = self._psycopg_adapters_map

    @classmethod
    def get_async_dialect_cls(cls, url: URL) -> type["Dialect"]:
        """This one."""
        return cls

    def on_connect(self) -> Any:
        """Nothing: SQLAlchemy would log the server's notices, which may hold values."""
        return None
