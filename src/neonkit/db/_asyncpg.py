"""Everything that is asyncpg's: how to connect, what one wait on the wire is, what a fault says.

SQLAlchemy's own asyncpg dialect with five differences: the first connection asks the server
for all it needs in one round trip; plain reads go in the open, without BEGIN, and so does a write
that is a whole unit of work; `BEGIN` carries both timeouts in its own round trip; every wait has a
bound, after which the connection is thrown away, because a PostgreSQL cancel hits a backend and not
a query; and each send and wait is counted.
"""

import asyncio
import itertools
import json
import time
from base64 import b64decode
from collections.abc import Awaitable, Callable, Collection, Iterator
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

import asyncpg
from sqlalchemy import URL
from sqlalchemy import Connection as SyncConnection
from sqlalchemy.dialects.postgresql import asyncpg as stock
from sqlalchemy.engine.interfaces import DBAPIConnection, IsolationLevel
from sqlalchemy.util import await_

from neonkit.db._plain import PlainReads
from neonkit.db._policies import TimeoutPolicy
from neonkit.db._pulse import Pulse
from neonkit.db._scope import current_scope
from neonkit.db._waking import connect_patiently
from neonkit.dsn import Dsn
from neonkit.errors import OutcomeUnknownError, ReadOnlySessionError

Answer = TypeVar("Answer")

_CACHED_STATEMENTS = 100
_CLEANUP_SECONDS = 2.0
_SERVER_SPEAKS_FIRST = 0.5  # seconds that the server's own timeout has to be the one that fires

_REFUSED = "unsupported startup parameter"  # a pooler's word for the two timeouts
_READ_ONLY_TRANSACTION = "25006"
_FACTS = """
SELECT encode(convert_to(json_build_object(
  'pid', pg_backend_pid(), 'schema', coalesce(current_schema(), ''),
  'isolation', current_setting('default_transaction_isolation'),
  'most', current_setting('max_connections')::int
)::text, 'UTF8'), 'base64')
"""


@dataclass(frozen=True)
class ServerFacts:
    """What the first connection learned, in one query.

    Attributes:
        version: such as `(18, 6)`.
        schema: the first schema of the search path that exists; empty where none does.
        isolation: `default_transaction_isolation`, in capitals.
        max_connections: how many sessions the server admits in all.
        has_standard_strings: `standard_conforming_strings`.
        is_behind_pooler: whether another process sits between: the backend that answers is not
            the one announced at connect.
    """

    version: tuple[int, ...]
    schema: str
    isolation: IsolationLevel
    max_connections: int
    has_standard_strings: bool
    is_behind_pooler: bool


class Connector:
    """Opens asyncpg connections to one address, and knows how that went.

    Args:
        dsn: where to.
        timeouts: the two server-side ones travel as start-up options on a direct connection,
            until a pooler refuses them.
        tracks_statements: whether prepared statements survive between transactions; `None`
            where the first connection must find out.

    Attributes:
        facts: what the first connection learned; `None` before.
        connecting: how many attempts are running.
        pulse: what connecting and every statement say of the database's health.
    """

    def __init__(
        self, dsn: Dsn, timeouts: TimeoutPolicy, *, tracks_statements: bool | None
    ) -> None:
        self.timeouts = timeouts
        self.tracks_statements = tracks_statements
        self.facts: ServerFacts | None = None
        self.connecting = 0
        self.pulse = Pulse()
        self.dsn = dsn
        self._arguments = _bounded_by_server(dsn, timeouts).for_asyncpg()

    @property
    def has_read_committed(self) -> bool:
        """Whether each statement has a snapshot of its own, by the server's default."""
        return self.facts is not None and self.facts.isolation == "READ COMMITTED"

    async def connect(self) -> asyncpg.Connection:
        """Open one connection, patiently; the first one also learns the server's facts."""
        self.connecting += 1
        try:
            return await connect_patiently(self.attempt, self.timeouts)
        finally:
            self.connecting -= 1

    async def attempt(self) -> asyncpg.Connection:
        """Try once to open a connection."""
        try:
            connection = await self._attempt()
        except BaseException:
            self.pulse.is_failing = True
            raise
        self.pulse.is_failing = False
        return connection

    async def _attempt(self) -> asyncpg.Connection:
        try:
            connection = await self._open()
        except asyncpg.PostgresError as error:
            if _REFUSED not in str(error):
                raise
            self._arguments = self.dsn.for_asyncpg()  # there the transactions carry the timeouts
            connection = await self._open()
        if self.facts is None:
            try:
                self.facts = await _learn(connection)
            except BaseException:
                connection.terminate()
                raise
            if self.tracks_statements is None:
                self.tracks_statements = not self.facts.is_behind_pooler
        if self.facts.is_behind_pooler:
            # asyncpg turns it off to ask about types: on one backend, and on again on another
            connection._server_caps = connection._server_caps._replace(jit=False)
        return connection

    async def _open(self) -> asyncpg.Connection:
        # SQLAlchemy names and keeps the statements; a second cache inside asyncpg is never hit
        return await asyncpg.connect(
            **self._arguments, statement_cache_size=0, connection_class=_CountedConnection
        )


class Probe:
    """Asks the database whether it is there, on a connection of its own beside the pool."""

    def __init__(self, connector: Connector) -> None:
        self._connector = connector
        self._connection: asyncpg.Connection | None = None

    async def __call__(self) -> None:
        """Send the smallest query, and raise whatever goes wrong; one attempt."""
        try:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connector.attempt()
            await self._connection.execute("SELECT")
        except BaseException:
            self._drop()
            raise
        self._connector.pulse.is_failing = False

    def _drop(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.terminate()

    async def close(self) -> None:
        """Close its connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.close(timeout=_CLEANUP_SECONDS)


def _bounded_by_server(dsn: Dsn, timeouts: TimeoutPolicy) -> Dsn:
    if dsn.is_pooled:
        return dsn
    return dsn.with_options(
        {
            "statement_timeout": str(int(timeouts.statement * 1000)),
            "lock_timeout": str(int(timeouts.lock * 1000)),
        }
    )


async def _learn(connection: asyncpg.Connection) -> ServerFacts:
    received = bytearray()

    async def keep(data: bytes) -> None:
        received.extend(data)

    # COPY is the one query of asyncpg's that prepares nothing and returns something
    await connection.copy_from_query(_FACTS, output=keep)
    facts = json.loads(b64decode(received.replace(rb"\n", b"")))
    version = connection.get_server_version()
    return ServerFacts(
        version=(version.major, version.minor),
        schema=facts["schema"],
        isolation=facts["isolation"].upper(),
        max_connections=facts["most"],
        has_standard_strings=connection.get_settings().standard_conforming_strings == "on",
        is_behind_pooler=facts["pid"] != connection.get_server_pid(),
    )


def _counted(name: str) -> Callable[..., Awaitable[Any]]:
    def send_and_wait(self: "_CountedProtocol", *args: Any, **kwargs: Any) -> Awaitable[Any]:
        self.trips += 1
        current_scope().trips += 1
        answer: Awaitable[Any] = getattr(self._protocol, name)(*args, **kwargs)
        return answer

    return send_and_wait


class _CountedProtocol:
    """asyncpg's protocol, with a count of its round trips: each of these calls is one.

    SQLAlchemy's events see neither BEGIN nor a prepare, nor what asyncpg asks about types.
    """

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self.trips = 0

    def __getattr__(self, name: str) -> Any:  # whatever the protocol has
        return getattr(self._protocol, name)

    prepare = _counted("prepare")
    bind = _counted("bind")
    bind_execute = _counted("bind_execute")
    bind_execute_many = _counted("bind_execute_many")
    execute = _counted("execute")
    query = _counted("query")
    copy_in = _counted("copy_in")
    copy_out = _counted("copy_out")
    close_portal = _counted("close_portal")
    close_statement = _counted("close_statement")


class _CountedConnection(asyncpg.Connection):  # type: ignore[misc]  # it has no types
    __slots__ = ("trips_of",)

    def __init__(self, protocol: Any, *args: Any) -> None:
        self.trips_of = _CountedProtocol(protocol)
        super().__init__(self.trips_of, *args)


class _Transaction:
    """A transaction begun by hand, so that its settings travel with BEGIN."""

    def __init__(self, connection: "AdaptedConnection") -> None:
        self._connection = connection

    async def start(self) -> None:
        await self._connection.driver_connection.execute(self._begin())

    def _begin(self) -> str:
        adapted, timeouts = self._connection, self._connection.timeouts
        modes = [
            f"ISOLATION LEVEL {adapted.isolation_level.replace('_', ' ').upper()}"
            if adapted.isolation_level
            else "",
            "READ ONLY" if adapted.readonly else "",
            "DEFERRABLE" if adapted.deferrable else "",
        ]
        return (
            f"BEGIN {' '.join(mode for mode in modes if mode)};"
            f"SET LOCAL statement_timeout = {int(timeouts.statement * 1000)};"
            f"SET LOCAL lock_timeout = {int(timeouts.lock * 1000)}"
        )

    async def commit(self) -> None:
        await self._connection.wire(self._connection.driver_connection.execute("COMMIT"))

    async def rollback(self) -> None:
        await self._connection.clean_up(self._connection.driver_connection.execute("ROLLBACK"))


class AdaptedCursor(stock.AsyncAdapt_asyncpg_cursor):
    """SQLAlchemy's cursor, bounded in time, that keeps the command tag.

    Attributes:
        command_tag: what the server said it did, such as `INSERT 0 1`; `None` for a batch.
        trips: round trips of the last statement, those of its BEGIN and its preparation included.
    """

    __slots__ = ("_adapted", "command_tag", "trips")

    def __init__(self, adapt_connection: "AdaptedConnection") -> None:
        super().__init__(adapt_connection)
        self._adapted = adapt_connection
        self.command_tag: str | None = None
        self.trips = 0

    async def _prepare_and_execute(self, operation: str, parameters: Any) -> None:
        connection = self._adapted
        before = connection.trips
        try:
            await connection.wire(super()._prepare_and_execute(operation, parameters))
        except Exception as error:
            if connection.has_maybe_committed:
                raise OutcomeUnknownError from error
            raise
        finally:
            connection.is_alone = connection.is_plain = False  # true of this statement alone
            self.trips = connection.trips - before
        if connection.prepared is not None:
            self.command_tag = connection.prepared.get_statusmsg()

    async def _executemany(self, operation: str, seq_of_parameters: Any) -> Any:
        self._adapted.is_alone = False
        before = self._adapted.trips
        try:
            return await self._adapted.wire(super()._executemany(operation, seq_of_parameters))
        finally:
            self.trips = self._adapted.trips - before


class AdaptedServerSideCursor(stock.AsyncAdapt_asyncpg_ss_cursor):
    """The same for `stream()`: no tag, since its rows are still to come."""

    __slots__ = ()
    command_tag = None


class AdaptedConnection(stock.AsyncAdapt_asyncpg_connection):
    """SQLAlchemy's adapted connection, with bounded waits and faults without values.

    Attributes:
        is_waiting: whether the unit of work that has it may go without BEGIN until it must; its end
            ends that.
        is_plain: whether the statement that is about to run is a plain read.
        is_alone: whether it is a whole unit of work, which commits as itself.
    """

    __slots__ = (
        "_has_read_committed", "is_alone", "is_plain", "is_waiting",
        "prepared", "pulse", "timeouts",
    )  # fmt: skip

    _cursor_cls = AdaptedCursor  # type: ignore[assignment]  # a subclass, as SQLAlchemy intends
    _ss_cursor_cls = AdaptedServerSideCursor

    def __init__(
        self,
        dbapi: Any,
        connection: asyncpg.Connection,
        connector: Connector,
    ) -> None:
        keeps = connector.tracks_statements
        super().__init__(
            dbapi,
            connection,
            prepared_statement_cache_size=_CACHED_STATEMENTS if keeps else 0,
            prepared_statement_name_func=_names().__next__ if keeps else _unnamed,
        )
        self.timeouts = connector.timeouts
        self.pulse = connector.pulse
        self.prepared: Any = None
        self._has_read_committed = connector.has_read_committed
        self.is_waiting = False
        self.is_plain = False
        self.is_alone = False

    @property
    def is_known_closed(self) -> bool:
        """Whether the server has closed this connection; known without asking it."""
        return bool(self._connection.is_closed())

    @property
    def trips(self) -> int:
        """Round trips since it was opened, the opening excepted."""
        counted: _CountedConnection = self.driver_connection
        return counted.trips_of.trips

    @property
    def is_in_the_open(self) -> bool:
        """Whether the unit of work that has it has sent no BEGIN, and need not have done so."""
        return (
            self.is_waiting
            and self._transaction is None
            and self._has_read_committed
            and self.isolation_level is None
            and not (self.readonly or self.deferrable)
        )

    @property
    def has_maybe_committed(self) -> bool:
        """Whether the connection was lost when a statement was on its way that commits itself."""
        return self.is_alone and self.prepared is not None and self.is_known_closed

    async def wire(self, waiting: Awaitable[Answer]) -> Answer:
        """Wait for the server, no longer than the statement and the request may take.

        Raises:
            TimeoutError: the connection is closed then, since a late cancel could hit
                somebody else's query.
        """
        scope = current_scope()
        limit = self.timeouts.statement + _SERVER_SPEAKS_FIRST
        remaining = scope.remaining()
        started = self.pulse.last_used = time.monotonic()
        try:
            async with asyncio.timeout(limit if remaining is None else min(limit, remaining)):
                return await waiting
        except TimeoutError:
            self._connection.terminate()
            raise
        finally:
            scope.seconds += time.monotonic() - started
            if self.is_known_closed:
                self.pulse.is_failing = True

    async def clean_up(self, waiting: Awaitable[Any]) -> None:
        """Wait for the end of a transaction that is lost anyway; 2 s, then drop the connection."""
        try:
            async with asyncio.timeout(_CLEANUP_SECONDS):
                await waiting
        except BaseException:
            self._connection.terminate()
            raise

    async def _prepare(self, operation: str, invalidate_timestamp: float) -> Any:
        self.prepared = None
        prepared = await super()._prepare(operation, invalidate_timestamp)
        self.prepared = prepared[0]
        return prepared

    async def _start_transaction(self) -> None:
        if self.isolation_level == "autocommit" or self.is_alone or self._may_go_in_the_open():
            return
        transaction = _Transaction(self)
        try:
            await transaction.start()
        except Exception as error:  # noqa: BLE001  # re-raised, translated
            self._handle_exception(error)
        self._transaction = transaction

    def _may_go_in_the_open(self) -> bool:
        return (
            self.is_waiting
            and self.is_plain
            and self._has_read_committed
            and self.isolation_level is None
        )

    def rollback(self) -> None:
        """Roll back; a connection that is gone has been rolled back by the server."""
        self.is_waiting = self.is_alone = False
        if self.is_known_closed:
            self._transaction = None
        else:
            super().rollback()

    def commit(self) -> None:
        """Commit; a connection lost meanwhile leaves the outcome unknown."""
        self.is_waiting = self.is_alone = False
        has_begun = self._transaction is not None
        try:
            super().commit()
        except Exception as error:
            if has_begun and self.is_known_closed:
                raise OutcomeUnknownError from error
            raise

    def _handle_exception(self, error: Exception) -> NoReturn:
        _forget_values(error)
        if self.readonly and getattr(error, "sqlstate", None) == _READ_ONLY_TRANSACTION:
            raise ReadOnlySessionError from error
        super()._handle_exception(error)


def wait_with_begin(connection: SyncConnection) -> None:
    """Let a connection go without BEGIN until a statement needs one, or until it is given back."""
    adapted = adapted_of(connection)
    if adapted is not None:
        adapted.is_waiting = True


def send_alone(connection: SyncConnection) -> None:
    """Let the next statement commit as itself, where nothing was begun before it."""
    adapted = adapted_of(connection)
    if adapted is not None and adapted.is_in_the_open:
        adapted.is_alone = True


def adapted_of(connection: SyncConnection) -> AdaptedConnection | None:
    """Our adapter under a connection of SQLAlchemy's; `None` under one of another driver."""
    adapted: object = connection.connection.dbapi_connection
    return adapted if isinstance(adapted, AdaptedConnection) else None


def _names() -> Iterator[str]:
    return (f"neonkit_{number}" for number in itertools.count(1))


def _unnamed() -> str:
    return ""


def _forget_values(error: Exception) -> None:
    """Drop what repeats a row's or a parameter's value; tracebacks print it."""
    if isinstance(error, asyncpg.PostgresError):
        vars(error).update(dict.fromkeys(("detail", "context", "query", "internal_query")))
    elif isinstance(error, asyncpg.InterfaceError) and isinstance(error, ValueError):
        error.args = (str(error.args[0]).partition(":")[0],)


class Dialect(stock.PGDialect_asyncpg):
    """`postgresql+asyncpg`, connecting through a `Connector`, asking nothing twice."""

    supports_statement_cache = True

    def __init__(
        self, connector: Connector, plain_functions: Collection[str] = (), **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.connector = connector
        self.plain_reads = PlainReads(plain_functions)

    def do_execute(self, cursor: Any, statement: str, parameters: Any, context: Any = None) -> None:
        """Say what the statement is, and execute it."""
        adapted: AdaptedConnection = cursor._adapt_connection
        compiled = context.compiled if context is not None else None
        adapted.is_plain = not cursor.server_side and compiled in self.plain_reads
        super().do_execute(cursor, statement, parameters, context)

    def create_connect_args(self, url: URL) -> tuple[list[str], dict[str, Any]]:
        """Nothing: the `Connector` has it all."""
        return [], {}

    def connect(self, *_args: Any, **_kwargs: Any) -> DBAPIConnection:
        """Open and adapt one connection."""
        connection: DBAPIConnection = await_(self._open())
        return connection

    async def _open(self) -> Any:
        try:
            connection = await self.connector.connect()
        except Exception as error:  # noqa: BLE001  # re-raised, translated
            AdaptedConnection._handle_exception_no_connection(self.loaded_dbapi, error)
        return AdaptedConnection(self.loaded_dbapi, connection, self.connector)

    @property
    def _facts(self) -> ServerFacts:
        facts = self.connector.facts
        assert facts is not None, "asked before the first connection"  # noqa: S101
        return facts

    def _get_server_version_info(self, connection: SyncConnection) -> tuple[int, ...]:
        return self._facts.version

    def _get_default_schema_name(self, connection: SyncConnection) -> str:
        return self._facts.schema

    def get_default_isolation_level(self, dbapi_conn: Any) -> IsolationLevel:
        """What `default_transaction_isolation` said at the first connection."""
        return self._facts.isolation

    def reset_isolation_level(self, dbapi_conn: Any) -> None:
        """Back to the server's default, unnamed: what names a level cannot go without BEGIN."""
        dbapi_conn.set_isolation_level(None)

    def _set_backslash_escapes(self, connection: SyncConnection) -> None:
        # reported by the server at connect: every supported PostgreSQL has it on by default
        self._backslash_escapes = not self._facts.has_standard_strings
