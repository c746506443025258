"""Everything that is psycopg's: how to connect, what one wait on the wire is, what a fault says.

Each statement is a pipeline: BEGIN, what has to be prepared and what no longer has to be travel
with it, in its one round trip.
"""

import asyncio
import select
from collections import deque
from collections.abc import AsyncIterator, Awaitable, Collection, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import psycopg
from psycopg import pq
from psycopg.abc import PQGen
from psycopg.adapt import AdaptersMap
from psycopg.pq.abc import PGconn, PGresult
from sqlalchemy import URL
from sqlalchemy.dialects.postgresql import psycopg as stock
from sqlalchemy.util.concurrency import in_greenlet

from neonkit._seams.psycopg import execute, replace_fields, send, wait_async
from neonkit.db._scope import current_scope
from neonkit.db._wire import connector, dead_peers
from neonkit.db._wire.connection import Reply, UnitOfWorkConnection, forget_text
from neonkit.db._wire.connector import (
    CLEANUP_SECONDS,
    FACTS,
    ServerFacts,
    read_facts,
)
from neonkit.db._wire.dialect import NeonDialect
from neonkit.db._wire.phases import Phase, Sending
from neonkit.dsn import Dsn

_cancelling: set[asyncio.Task[None]] = set()  # the event loop itself holds its tasks weakly
_BEFORE_CANCELLING_AGAIN = 0.05, 0.2  # seconds
_PREPARED_AFTER = 5  # executions, which is psycopg's own threshold
_HELD = "EXPLAIN"
_NOTHING = Reply(None, -1)
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
        yield from send(self.pgconn)
        try:
            yield from self._fetch_gen(flush=False)
        except psycopg.Error as error:
            raise self._error or error from None

    def _process_results(self, queued: Any, results: list[PGresult]) -> None:
        if not self.result_queue and results[0].status == pq.ExecStatus.FATAL_ERROR:
            # what fails at the very end, such as a deferred constraint, comes before Sync's answer
            self.result_queue.append(None)
        elif _is_refusal(results[0]):
            self._conn.has_refused = True
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
        has_refused: whether the server said of the last statement, before its end, that it failed.
    """

    trips = 0
    is_left = False
    has_refused = False

    async def send(self, command: str) -> Sequence[PGresult]:
        """Send a command that has no parameters, and wait for its end."""
        self.count()
        self.has_refused = False
        async with self.lock:
            results: list[PGresult] = await self.wait(_answers(self.pgconn, command.encode()))
        self.has_refused = _is_refusal(results[0])
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
        self.has_refused = False
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
            return await wait_async(gen, self.pgconn.socket, interval, timeout)
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
        """Cancel until an answer comes: a request that overtakes its statement is lost."""
        try:
            with suppress(psycopg.Error):
                for pause in _BEFORE_CANCELLING_AGAIN:
                    await self.cancel_safe(timeout=CLEANUP_SECONDS)
                    await asyncio.sleep(pause)
                    if _is_readable(self.pgconn.socket):
                        break
        finally:
            self.pgconn.finish()

    def forget_statements(self) -> None:
        """Prepare everything anew; the next statement tells the server to forget them too."""
        self._prepared.clear()

    def is_closed(self) -> bool:
        """True if it is closed; what the server said meanwhile is read, and its end noticed."""
        with suppress(psycopg.OperationalError):
            while not (self.is_left or self.closed) and _is_readable(self.pgconn.socket):
                self.pgconn.consume_input()
        return self.is_left or self.closed

    def terminate(self) -> None:
        """Close it at once."""
        if not self.is_left:
            self.pgconn.finish()


def _is_refusal(result: PGresult) -> bool:
    """True of an error that the server sent; libpq makes one up where it only hung up."""
    return result.error_field(pq.DiagnosticField.SQLSTATE) is not None


def _answers(pgconn: PGconn, command: bytes) -> PQGen[list[PGresult]]:
    pgconn.send_query(command)
    results: list[PGresult] = yield from execute(pgconn)
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
        address: dict[str, Any] = {**dead_peers.DEFAULTS, **dsn.for_psycopg()}
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
    """SQLAlchemy's cursor over `UnitOfWorkConnection.send`.

    Attributes:
        sending: how the statement that is about to run is sent.
        trips: round trips of the last statement, those of its BEGIN and its preparation included.
    """

    __slots__ = ("_reply", "sending", "wire")

    def __init__(self, adapt_connection: "AdaptedConnection") -> None:
        super().__init__(adapt_connection)
        self.wire = adapt_connection
        self.sending = Sending.TRANSACTION
        self._reply = _NOTHING

    def _make_new_cursor(self, connection: Any) -> Any:
        """Make none: the connection makes psycopg's own for each statement."""

    def _aenter_cursor(self, cursor: Any) -> Any:
        return cursor if in_greenlet() else super()._aenter_cursor(cursor)

    @property
    def description(self) -> Any:
        """The columns of the answer; `None` where it has none."""
        return self._reply.description

    @property
    def rowcount(self) -> int:
        """How many rows were returned or changed."""
        return self._reply.rowcount

    @property
    def trips(self) -> int:
        """Round trips of the last statement, those of its BEGIN and its preparation included."""
        return self._reply.trips

    def close(self) -> None:
        """Drop the rows; nothing of it is open on the server."""
        self._rows.clear()

    async def _execute_async(self, operation: Any, parameters: Any) -> None:
        self._reply = await self.wire.send(operation, parameters, self.sending)
        self._rows = self._reply.rows

    async def _executemany_async(self, operation: Any, seq_of_parameters: Any) -> None:
        self._reply = await self.wire.send_many(operation, seq_of_parameters)


class AdaptedServerSideCursor(stock.AsyncAdapt_psycopg_ss_cursor):
    """SQLAlchemy's cursor of `stream()`, which reads on after its statement was sent."""

    __slots__ = ("sending", "wire")
    _cursor: Any

    def __init__(self, adapt_connection: "AdaptedConnection", name: str) -> None:
        super().__init__(adapt_connection, name)
        self.wire = adapt_connection
        self.sending = Sending.TRANSACTION

    def _aenter_cursor(self, cursor: Any) -> Any:
        return cursor

    async def _execute_async(self, operation: Any, parameters: Any) -> None:
        await self.wire.open_cursor(self._cursor, operation, parameters)

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
        if self.wire.driver.pgconn.transaction_status == pq.TransactionStatus.INTRANS:
            self._fetch(cursor.close())
        else:
            self.wire.wait_for(cursor.close())

    def _fetch(self, waiting: Awaitable[Any]) -> Any:
        self.wire.driver.count()
        return self.wire.wait_for(self.wire.bounded(waiting))


@dataclass
class Companion:
    """A statement that is held back, to travel with the one after it.

    Attributes:
        held: it and its arguments; `None` before it came.
        rows: its answer, after both have travelled.
    """

    held: tuple[Any, Any] | None = None
    rows: Sequence[Any] = ()


class AdaptedConnection(UnitOfWorkConnection, stock.AsyncAdapt_psycopg_connection):
    """SQLAlchemy's adapted connection of psycopg's."""

    def __init__(self, dbapi: Any, connection: _Connection, connector: Connector) -> None:
        super().__init__(dbapi, connection, connector)
        # libpq before 17 would say DEALLOCATE to a pooler, which knows no such name
        keeps = connector.tracks_statements and psycopg.capabilities.has_send_close_prepared()
        connection.prepare_threshold = _PREPARED_AFTER if keeps else None
        self.driver = connection
        self._companion: Companion | None = None

    @property
    def trips(self) -> int:  # type: ignore[override]  # it is only read
        """Round trips since it was opened, the opening excepted."""
        return self.driver.trips

    def cursor(self, name: str | None = None, /) -> Any:  # type: ignore[override]  # as SQLAlchemy's own for psycopg
        """A cursor; one on the server where it has a name."""
        return AdaptedServerSideCursor(self, name) if name else AdaptedCursor(self)

    @contextmanager
    def together(self) -> Iterator[Companion]:
        """Send the block's first two statements in one round trip; the first answers last.

        What was held back and never travelled, since the second failed before it was sent, is
        dropped with the block.
        """
        companion = self._companion = Companion()
        try:
            yield companion
        finally:
            self._companion = None

    async def _exchange(self, sql: Any, arguments: Any, begins: bool, is_batch: bool) -> Reply:
        if not self.driver.closed:
            self.note_leaving()
        companion = self._companion
        if companion is not None and companion.held is None:
            companion.held = sql, arguments
            return Reply(_HELD, -1)
        self._companion = None
        cursor = self.driver.cursor()
        first = None
        try:
            async with self.driver.flight(self.beginning() if begins else ()):
                if companion is not None and companion.held is not None:
                    first = await self.driver.execute(*companion.held)
                run = cursor.executemany if is_batch else cursor.execute
                await run(sql, arguments)
        finally:
            self._see_phase()
        if companion is not None and first is not None:
            companion.rows = await first.fetchall()
        if is_batch:
            return Reply(None, cursor.rowcount)
        rows = deque(await cursor.fetchall() if cursor.description is not None else ())
        return Reply(cursor.statusmessage, cursor.rowcount, rows, cursor.description)

    async def open_cursor(self, cursor: Any, sql: Any, arguments: Any) -> None:
        """Declare a cursor in a transaction."""
        async with self._execute_mutex:
            with self.telling(sql):
                await self._prove(Sending.TRANSACTION)
                await self.bounded(self._declare(cursor, sql, arguments))
        self.writes.note(None, sql)

    async def _declare(self, cursor: Any, sql: Any, arguments: Any) -> None:
        if self.needs_begin(Sending.TRANSACTION):
            await self.begin()
        self.driver.count(2)  # DECLARE, and what its columns are
        await cursor.execute(sql, arguments)

    def _is_refused(self, error: Exception) -> bool:
        return self.driver.has_refused

    def _see_phase(self) -> None:
        """Note whether a transaction is open, as the server said with its last answer."""
        status = self.driver.pgconn.transaction_status
        if status == pq.TransactionStatus.IDLE:
            self.phase = Phase.NONE if self.phase is Phase.OPEN else self.phase
        elif status != pq.TransactionStatus.UNKNOWN:
            self.phase = Phase.OPEN

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
            replace_fields(error, kept)


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
