"""Everything that is asyncpg's: how to connect, what one wait on the wire is, what a fault says."""

import itertools
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import asyncpg
from sqlalchemy import Dialect as AnyDialect
from sqlalchemy.dialects.postgresql import asyncpg as stock
from sqlalchemy.types import TypeEngine
from sqlmodel.sql.sqltypes import UTCDateTime

from neonkit.db._scope import current_scope
from neonkit.db._wire import connector
from neonkit.db._wire.connection import UnitOfWorkConnection, forget_text
from neonkit.db._wire.connector import FACTS, ServerFacts, read_facts
from neonkit.db._wire.dialect import NeonDialect
from neonkit.dsn import Dsn

_CACHED_STATEMENTS = 100
_UNSENDABLE = "invalid input for query argument"  # asyncpg's own words, before the value


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
    __slots__ = ("trips_of",)

    def __init__(self, protocol: Any, *args: Any) -> None:
        self.trips_of = _CountedProtocol(protocol)
        super().__init__(self.trips_of, *args)

    async def send(self, command: str) -> object:
        """Send a command that has no parameters, and wait for its end."""
        return await self.execute(command)


class Connector(connector.Connector[_Connection]):
    """Opens connections of asyncpg's."""

    async def _open(self, dsn: Dsn) -> _Connection:
        # SQLAlchemy names and keeps the statements; a second cache inside asyncpg is never hit
        connection: _Connection = await asyncpg.connect(
            **dsn.for_asyncpg(),
            statement_cache_size=0,
            connection_class=_Connection,
        )
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
        # asyncpg turns jit off to ask about types: on one backend, and on again on another
        connection._server_caps = connection._server_caps._replace(jit=False)


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
        adapted = self._adapted
        await adapted.perform(self, super()._prepare_and_execute(operation, parameters))
        if adapted.prepared is not None:
            self.command_tag = adapted.prepared.get_statusmsg()

    async def _executemany(self, operation: str, seq_of_parameters: Any) -> Any:
        self._adapted.is_alone = False
        return await self._adapted.perform(self, super()._executemany(operation, seq_of_parameters))


class ServerSideCursor(stock.AsyncAdapt_asyncpg_ss_cursor):
    """The same for `stream()`: no tag, since its rows are still to come."""

    __slots__ = ()
    command_tag = None


class AdaptedConnection(UnitOfWorkConnection, stock.AsyncAdapt_asyncpg_connection):
    """SQLAlchemy's adapted connection of asyncpg's."""

    _cursor_cls = AdaptedCursor  # type: ignore[assignment]  # a subclass, as SQLAlchemy intends
    _ss_cursor_cls = ServerSideCursor

    def __init__(self, dbapi: Any, connection: _Connection, connector: Connector) -> None:
        keeps = connector.tracks_statements
        super().__init__(
            dbapi,
            connection,
            connector,
            prepared_statement_cache_size=_CACHED_STATEMENTS if keeps else 0,
            prepared_statement_name_func=_names().__next__ if keeps else _unnamed,
        )
        self.prepared: Any = None

    @property
    def trips(self) -> int:  # type: ignore[override]  # it is only read
        """Round trips since it was opened, the opening excepted."""
        connection: _Connection = self.driver_connection
        return connection.trips_of.trips

    @property
    def has_maybe_committed(self) -> bool:
        """Whether a statement that commits itself was lost, after it had been prepared."""
        return self.prepared is not None and super().has_maybe_committed

    async def _prepare(self, operation: str, invalidate_timestamp: float) -> Any:
        self.prepared = None
        prepared = await super()._prepare(operation, invalidate_timestamp)
        self.prepared = prepared[0]
        return prepared

    async def _start_transaction(self) -> None:
        try:
            await self.begin()
        except Exception as error:  # noqa: BLE001  # re-raised, translated
            self._handle_exception(error)

    def _forget_values(self, error: Exception) -> None:
        if isinstance(error, asyncpg.PostgresError):
            vars(error).update(dict.fromkeys(("detail", "context", "query", "internal_query")))
        if isinstance(error, asyncpg.DataError) and str(error.args[0]).startswith(_UNSENDABLE):
            error.args = (str(error.args[0]).partition(":")[0],)
            if isinstance(error.__cause__, UnicodeEncodeError):
                forget_text(error.__cause__)


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
    adapter = AdaptedConnection

    def type_descriptor(self, typeobj: TypeEngine[Any]) -> TypeEngine[Any]:
        """The type that this driver needs in a type's place."""
        if type(typeobj) is UTCDateTime:
            return _AsReceived().dialect_impl(self)
        described: TypeEngine[Any] = super().type_descriptor(typeobj)
        return described
