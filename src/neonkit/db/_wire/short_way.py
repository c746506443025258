"""The short way: one compiled statement to the driver and back, by none of SQLAlchemy's execution.

For plain reads, and for a statement that is a whole unit of work, on asyncpg. The pool, the door of
the wire (`UnitOfWorkConnection.send`) and the errors are those of the long way.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from sqlalchemy import Engine, Executable
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import greenlet_spawn

from neonkit._seams.sqlalchemy import (
    brief_connection,
    connects_by,
    context_of,
    is_echoing,
    lend,
    listeners_of,
    place_of,
    raise_handled,
    schema_changed_at,
)
from neonkit.db._wire.connection import Reply, UnitOfWorkConnection
from neonkit.db._wire.dialect import NeonDialect
from neonkit.db._wire.phases import Phase, Sending
from neonkit.db._wire.pool import Pool
from neonkit.db._wire.returning_connection import ReturningConnection

Meet = Callable[[UnitOfWorkConnection], None]

_ENGINE_EVENTS = (
    "begin",
    "commit",
    "rollback",
    "engine_connect",
    "before_execute",
    "before_cursor_execute",
    "after_cursor_execute",
    "after_execute",
)
_DIALECT_EVENTS = ("do_execute", "handle_error")


class ShortStatement(NamedTuple):
    """What goes the short way.

    Attributes:
        statement: as it was made.
        compiled: the same without its values.
        arguments: its values as the driver takes them.
        values: the same by name.
        sending: `PLAIN` or `LONE`.
    """

    statement: Executable
    compiled: SQLCompiler
    arguments: tuple[Any, ...]
    values: dict[str, Any]
    sending: Sending


def why_not_short(bind: object) -> str | None:
    """Why nothing goes the short way on an engine; `None` where plain reads and lone writes may.

    What this function does not know is a reason. It reads, and changes nothing.
    """
    if not isinstance(bind, Engine):
        return "the session is bound to no engine"
    return _why_not_way(bind) or _why_not_heard(bind)


def _why_not_way(engine: Engine) -> str | None:
    dialect = engine.dialect
    if not isinstance(dialect, NeonDialect) or not dialect.has_plans:
        return "its driver has no plans"
    if not dialect.connector.has_read_committed:
        return "reads of a transaction share a snapshot"
    if not connects_by(engine, ReturningConnection):
        return "a test has its connections"
    if engine.get_execution_options() or is_echoing(engine):
        return "the engine has options, or logs"
    return None


def _why_not_heard(engine: Engine) -> str | None:
    if not isinstance(engine.pool, Pool) or engine.pool.is_heard:
        return "somebody listens to the pool"
    for name in _ENGINE_EVENTS:
        if listeners_of(engine, name):
            return f"somebody listens to {name}"
    for name in _DIALECT_EVENTS:
        if listeners_of(engine.dialect, name):
            return f"somebody listens to {name}"
    return None


class _Loan:
    """A connection of the pool's for one statement.

    An idle one is taken out of the pool as it is; SQLAlchemy's place around it is made where there
    was none, or where something went wrong and has to be told by it.

    Attributes:
        wire: the connection.
    """

    def __init__(
        self,
        engine: Engine,
        record: ConnectionPoolEntry | None,
        place: PoolProxiedConnection | None,
    ) -> None:
        pool, taken = engine.pool, place or record
        assert isinstance(pool, Pool), "asked before"  # noqa: S101
        wire: object = None if taken is None else taken.dbapi_connection
        assert isinstance(wire, UnitOfWorkConnection), "of ours"  # noqa: S101
        self.wire: UnitOfWorkConnection = wire
        self._engine = engine
        self._pool: Pool = pool
        self._record = record
        self._place = place

    @classmethod
    async def of(cls, engine: Engine) -> "_Loan":
        """Take one, as patiently as ever."""
        assert isinstance(engine.pool, Pool), "asked before"  # noqa: S101
        record = engine.pool.take_idle()
        place = None if record is not None else await greenlet_spawn(lend, engine)
        return cls(engine, record, place)

    async def end(self) -> None:
        """Give it back."""
        if self._record is not None and self.wire.phase is not Phase.OPEN:
            self.wire.rollback()  # which has nothing to say to the server
            self._pool.give_back(self._record)
        else:
            await greenlet_spawn(self._settle, None, None)

    async def fail(self, sent: ShortStatement, error: BaseException) -> None:
        """Give it back after an error, or drop it, and raise that as SQLAlchemy does."""
        await greenlet_spawn(self._settle, sent, error)

    def _settle(self, sent: ShortStatement | None, error: BaseException | None) -> None:
        place = self._place or place_of(self._pool, self._record)
        connection = brief_connection(self._engine, place)
        try:
            if sent is not None and error is not None:
                told = sent.compiled.string, sent.arguments, sent.values
                context = context_of(connection, sent.compiled, sent.statement, told)
                try:
                    self.wire.raise_translated(error)
                except BaseException as translated:  # noqa: BLE001  # it is raised again
                    raise_handled(connection, translated, context)
        finally:
            connection.close()


async def send_shortly(engine: Engine, sent: ShortStatement, begin_on: Meet, leave: Meet) -> Reply:
    """Send a statement that needs no BEGIN on a connection of the pool's, and give that back.

    Args:
        engine: nothing stands against the short way on it.
        sent: the statement.
        begin_on: prepares the connection for the unit of work.
        leave: is told of it again before it goes back.

    Raises:
        sqlalchemy.exc.DBAPIError: as `Connection.execute` raises it.
        NotInTheOpenError: a `connect` listener wants it otherwise; nothing was sent.
    """
    loan = await _Loan.of(engine)
    wire = loan.wire
    try:
        begin_on(wire)
        if not wire.goes_in_the_open(sent.sending):
            raise NotInTheOpenError
        wire.not_older_than = schema_changed_at(engine.dialect)
        reply = await wire.send(sent.compiled.string, sent.arguments, sent.sending)
    except NotInTheOpenError:
        await loan.end()
        raise
    except BaseException as error:
        await loan.fail(sent, error)
        raise
    leave(wire)
    await loan.end()
    return reply


class NotInTheOpenError(Exception):
    """A connection that begins each unit of work, by what a listener made of it."""
