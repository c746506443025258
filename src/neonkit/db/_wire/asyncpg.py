"""Everything that is asyncpg's: how to connect, what one wait on the wire is, what a fault says."""

import itertools
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, NamedTuple

import asyncpg
from sqlalchemy import Dialect as AnyDialect
from sqlalchemy.dialects.postgresql import asyncpg as stock
from sqlalchemy.types import TypeEngine
from sqlmodel.sql.sqltypes import UTCDateTime

from neonkit._seams.asyncpg import UNSENDABLE, leave_jit_alone, socket_of
from neonkit.db._scope import current_scope
from neonkit.db._wire import connector
from neonkit.db._wire.connection import Reply, UnitOfWorkConnection, forget_text
from neonkit.db._wire.connector import FACTS, ServerFacts, read_facts
from neonkit.db._wire.dead_peers import find_dead_peer
from neonkit.db._wire.dialect import NeonDialect
from neonkit.db._wire.known_types import KnownTypes
from neonkit.db._wire.membership import MembershipCompiler
from neonkit.db._wire.phases import Sending
from neonkit.dsn import Dsn

_CACHED_STATEMENTS = 100
_STATEMENT_IS_GONE = "26000"
_COUNTING = ("SELECT", "UPDATE", "DELETE", "INSERT", "MERGE")


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


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # it has no types
    __slots__ = ("known_types", "trips_of")

    def __init__(self, protocol: Any, *args: Any) -> None:
        self.trips_of = _CountedProtocol(protocol)
        self.known_types = KnownTypes()  # its own, until it is told whom it shares them with
        super().__init__(self.trips_of, *args)

    async def send(self, command: str) -> object:
        """Send a command that has no parameters, and wait for its end."""
        return await self.execute(command)

    async def _introspect_types(self, typeoids: Any, timeout: Any) -> Any:
        rows = self.known_types.recall(typeoids)
        if rows is not None:
            return rows, _NOT_SENT
        rows, statement = await super()._introspect_types(typeoids, timeout)
        self.known_types.learn(typeoids, rows, self)
        return rows, statement

    async def reload_schema_state(self) -> None:
        """Forget what was learned about tables and types."""
        self.known_types.forget()
        await super().reload_schema_state()


class _NotSent(NamedTuple):
    """Stands for the query about types where none was sent, which has undone no other."""

    name: str = "known"


_NOT_SENT = _NotSent()


class Connector(connector.Connector[_Connection]):
    """Opens connections of asyncpg's."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._known_types = KnownTypes()

    async def _open(self, dsn: Dsn) -> _Connection:
        # SQLAlchemy names and keeps the statements; a second cache inside asyncpg is never hit
        connection: _Connection = await asyncpg.connect(
            **dsn.for_asyncpg(),
            statement_cache_size=0,
            connection_class=_Connection,
        )
        connected = socket_of(connection)
        if connected is not None:
            find_dead_peer(connected, dsn.parameters)
        connection.known_types = self._known_types
        return connection

    async def _learn(self, connection: _Connection) -> ServerFacts:
        received = bytearray()

        async def keep(data: bytes) -> None:
            received.extend(data)

        # COPY is the one query of asyncpg's that prepares nothing and returns something
        await connection.copy_from_query(FACTS, output=keep)
        version = connection.get_server_version()
        return read_facts(
            bytes(received).replace(rb"\n", b""),
            version=(version.major, version.minor),
            pid=connection.get_server_pid(),
            has_standard_strings=connection.get_settings().standard_conforming_strings == "on",
        )

    def _keep_off_settings(self, connection: _Connection) -> None:
        leave_jit_alone(connection)


class AdaptedCursor(stock.AsyncAdapt_asyncpg_cursor):
    """SQLAlchemy's cursor over `UnitOfWorkConnection.send`.

    Attributes:
        sending: how the statement that is about to run is sent.
        trips: round trips of the last statement, those of its BEGIN and its preparation included.
    """

    __slots__ = ("sending", "trips", "wire")

    def __init__(self, adapt_connection: "AdaptedConnection") -> None:
        super().__init__(adapt_connection)
        self.wire = adapt_connection
        self.sending = Sending.TRANSACTION
        self.trips = 0

    async def _prepare_and_execute(self, operation: str, parameters: Any) -> None:
        self.wire.not_older_than = self._invalidate_schema_cache_asof
        try:
            reply = await self.wire.send(operation, parameters or (), self.sending)
        except Exception as error:  # noqa: BLE001  # re-raised, translated
            self._handle_exception(error)
        self._description, self._rowcount = reply.description, reply.rowcount
        self._rows, self.trips = reply.rows, reply.trips

    async def _executemany(self, operation: str, seq_of_parameters: Any) -> None:
        self._description = None
        self.wire.not_older_than = self._invalidate_schema_cache_asof
        try:
            reply = await self.wire.send_many(operation, seq_of_parameters)
        except Exception as error:  # noqa: BLE001  # re-raised, translated
            self._handle_exception(error)
        self.trips = reply.trips


class AdaptedServerSideCursor(stock.AsyncAdapt_asyncpg_ss_cursor):
    """SQLAlchemy's cursor of `stream()`, which reads on after its statement was sent."""

    __slots__ = ("sending", "wire")

    def __init__(self, adapt_connection: "AdaptedConnection") -> None:
        super().__init__(adapt_connection)
        self.wire = adapt_connection
        self.sending = Sending.TRANSACTION

    async def _prepare_and_execute(self, operation: str, parameters: Any) -> None:
        self.wire.not_older_than = self._invalidate_schema_cache_asof
        try:
            opened = await self.wire.open_cursor(operation, parameters or ())
        except Exception as error:  # noqa: BLE001  # re-raised, translated
            self._handle_exception(error)
        self._cursor, self._description = opened


class AdaptedConnection(UnitOfWorkConnection, stock.AsyncAdapt_asyncpg_connection):  # pyright: ignore[reportIncompatibleMethodOverride]  # SQLAlchemy has two names for one parameter
    """SQLAlchemy's adapted connection of asyncpg's."""

    _cursor_cls = AdaptedCursor  # type: ignore[assignment]  # a subclass, as SQLAlchemy intends
    _ss_cursor_cls = AdaptedServerSideCursor

    def __init__(self, dbapi: Any, connection: _Connection, connector: Connector) -> None:
        keeps = connector.tracks_statements
        super().__init__(
            dbapi,
            connection,
            connector,
            prepared_statement_cache_size=_CACHED_STATEMENTS if keeps else 0,
            prepared_statement_name_func=_names().__next__ if keeps else _unnamed,
        )
        self._lost_at: float = 0  # prepared statements, on the wall clock

    @property
    def trips(self) -> int:  # type: ignore[override]  # it is only read
        """Round trips since it was opened, the opening excepted."""
        connection: _Connection = self.driver_connection
        return connection.trips_of.trips

    @property
    def _oldest(self) -> float:
        """When a statement that is used again may have been prepared at the earliest."""
        return max(self.not_older_than, self._lost_at)

    async def _exchange(self, sql: str, arguments: Any, begins: bool, is_batch: bool) -> Reply:
        if begins:
            await self.begin()
        if is_batch:
            await self._check_type_cache_invalidation(self.not_older_than)
            self.note_leaving()
            await self._connection.executemany(sql, arguments)
            return Reply(None, -1)
        prepared, attributes = await self._prepare(sql, self._oldest)
        self.note_leaving()
        rows = deque(await prepared.fetch(*arguments))
        tag: str = prepared.get_statusmsg() or ""
        return Reply(tag, _count_in(tag), rows, _described(attributes))

    async def open_cursor(self, sql: str, arguments: Any) -> tuple[Any, Any]:
        """Declare a cursor in a transaction; give it with the description of its columns."""
        async with self._execute_mutex:
            with self.telling(sql):
                await self._prove(Sending.TRANSACTION)
                if self.needs_begin(Sending.TRANSACTION):
                    await self.bounded(self.begin())
                prepared, attributes = await self.bounded(self._prepare(sql, self._oldest))
                cursor = await self.bounded(prepared.cursor(*arguments))
        self.writes.note(None, sql)
        return cursor, _described(attributes)

    def _forget_values(self, error: Exception) -> None:
        if isinstance(error, asyncpg.PostgresError):
            if getattr(error, "sqlstate", None) == _STATEMENT_IS_GONE:
                self._lost_at = time.time()  # it is seldom alone: all are prepared anew
            vars(error).update(dict.fromkeys(("detail", "context", "query", "internal_query")))
        if isinstance(error, asyncpg.DataError) and str(error.args[0]).startswith(UNSENDABLE):
            error.args = (str(error.args[0]).partition(":")[0],)
            if isinstance(error.__cause__, UnicodeEncodeError):
                forget_text(error.__cause__)


def _described(attributes: Any) -> list[tuple[Any, ...]] | None:
    nothing = (None,) * 5
    return [(each.name, each.type.oid, *nothing) for each in attributes] or None


def _count_in(tag: str) -> int:
    """How many rows a command tag speaks of, such as `UPDATE 3`; -1 where it counts none."""
    word, _, count = tag.rpartition(" ")
    return int(count) if word.startswith(_COUNTING) and count.isdigit() else -1


def _names() -> Iterator[str]:
    return (f"neonkit_{number}" for number in itertools.count(1))


def _unnamed() -> str:
    return ""


class _AsReceived(UTCDateTime):
    """SQLModel's time of a `timestamptz`, which asyncpg gives in UTC already."""

    cache_ok = True

    def result_processor(self, dialect: AnyDialect, coltype: object) -> None:
        """Nothing is left to do."""


class Dialect(NeonDialect, stock.PGDialect_asyncpg):
    """`postgresql+asyncpg`."""

    supports_statement_cache = True
    statement_compiler = MembershipCompiler
    adapter = AdaptedConnection
    has_plans = True

    def type_descriptor(self, typeobj: TypeEngine[Any]) -> TypeEngine[Any]:
        """The type that this driver needs in a type's place."""
        if type(typeobj) is UTCDateTime:
            return _AsReceived().dialect_impl(self)
        described: TypeEngine[Any] = super().type_descriptor(typeobj)
        return described
