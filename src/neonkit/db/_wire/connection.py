"""A connection as a unit of work has it, whichever driver is under it.

SQLAlchemy's own adapters with four differences: plain reads go in the open, without BEGIN, and so
does a write that is a whole unit of work; BEGIN carries both timeouts; every wait has a bound,
after which the connection is thrown away, because a PostgreSQL cancel hits a backend and not a
query; and each send and wait is counted.
"""

import asyncio
import time
from collections.abc import Awaitable, Sequence
from typing import Any, NoReturn, Protocol, TypeVar

from sqlalchemy import Connection
from sqlalchemy.connectors.asyncio import AsyncAdapt_dbapi_connection
from sqlalchemy.engine.interfaces import IsolationLevel
from sqlalchemy.util import await_

from neonkit.db._scope import current_scope
from neonkit.db._wire.connector import CLEANUP_SECONDS, Connector, DriverConnection
from neonkit.errors import OutcomeUnknownError, ReadOnlySessionError

Answer = TypeVar("Answer")

_SERVER_SPEAKS_FIRST = 0.5  # seconds that the server's own timeout has to be the one that fires
_READ_ONLY_TRANSACTION = "25006"


class CountedCursor(Protocol):
    """A cursor that is told what it cost.

    Attributes:
        trips: round trips of the last statement, those of its BEGIN and its preparation included.
    """

    trips: int


class UnitOfWorkConnection(AsyncAdapt_dbapi_connection):
    """What is the same for every driver; it comes before SQLAlchemy's adapter for one.

    Attributes:
        is_waiting: whether the unit of work that has it may go without BEGIN until it must; its end
            ends that.
        is_plain: whether the statement that is about to run is a plain read.
        is_alone: whether it is a whole unit of work, which commits as itself.
        has_begun: whether a transaction is open.
        trips: round trips since it was opened, the opening excepted.
        can_hold: whether an EXPLAIN can wait for the next statement, and travel with it.
        is_holding: whether the EXPLAIN that is about to run is to wait.
        held: the one that waits, and its parameters.
        told: its rows, after it has travelled.
        isolation_level: of the next transaction, or `AUTOCOMMIT`; `None` for the server's default.
        is_read_only: whether the next transaction only reads.
        is_deferrable: whether it is DEFERRABLE.
    """

    trips: int
    can_hold = False

    def __init__(
        self,
        dbapi: Any,
        connection: DriverConnection,
        connector: Connector[Any],
        **options: Any,
    ) -> None:
        super().__init__(dbapi, connection, **options)  # type: ignore[arg-type]  # as its driver made it
        self.timeouts = connector.timeouts
        self.pulse = connector.pulse
        self.is_waiting = False
        self.is_plain = False
        self.is_alone = False
        self.has_begun = False
        self.is_holding = False
        self.held: tuple[Any, Any] | None = None
        self.told: Sequence[Any] = ()
        self.isolation_level: IsolationLevel | None = None
        self.is_read_only = False
        self.is_deferrable = False
        self._opened = connection
        self._has_read_committed = connector.has_read_committed

    @property
    def is_known_closed(self) -> bool:
        """Whether the server has closed this connection; known without asking it."""
        return self._opened.is_closed()

    @property
    def is_in_the_open(self) -> bool:
        """Whether the unit of work that has it has sent no BEGIN, and need not have done so."""
        return (
            self._may_wait and not self.has_begun and not (self.is_read_only or self.is_deferrable)
        )

    @property
    def _may_wait(self) -> bool:
        return self.is_waiting and self._has_read_committed and self.isolation_level is None

    @property
    def must_begin(self) -> bool:
        """Whether BEGIN has to come before the statement that is about to run."""
        may_go = self.is_alone or (self.is_plain and self._may_wait)
        return not (self.has_begun or self.isolation_level == "AUTOCOMMIT" or may_go)

    @property
    def has_maybe_committed(self) -> bool:
        """Whether the connection was lost when a statement was on its way that commits itself."""
        return self.is_alone and self.is_known_closed

    def beginning(self) -> list[str]:
        """The commands that begin a transaction and bound its waits on the server."""
        modes = [
            f"ISOLATION LEVEL {self.isolation_level}" if self.isolation_level else "",
            "READ ONLY" if self.is_read_only else "",
            "DEFERRABLE" if self.is_deferrable else "",
        ]
        return [
            " ".join(["BEGIN", *filter(None, modes)]),
            f"SET LOCAL statement_timeout = {int(self.timeouts.statement * 1000)}",
            f"SET LOCAL lock_timeout = {int(self.timeouts.lock * 1000)}",
        ]

    async def begin(self) -> None:
        """Begin a transaction in a round trip of its own, if the next statement needs one."""
        if self.must_begin:
            await self._opened.send("; ".join(self.beginning()))
            self.has_begun = True

    async def perform(self, cursor: CountedCursor, waiting: Awaitable[Answer]) -> Answer:
        """Wait for a statement, and tell its cursor what it cost.

        Raises:
            OutcomeUnknownError: the connection was lost, and the statement may have committed.
        """
        before = self.trips
        try:
            return await self.wire(waiting)
        except Exception as error:
            if self.has_maybe_committed:
                self._forget_values(error)
                raise OutcomeUnknownError from error
            raise
        finally:
            self.is_alone = self.is_plain = False  # true of this statement alone
            cursor.trips = self.trips - before

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
        except BaseException as error:
            if isinstance(error, TimeoutError):
                self._opened.terminate()
            if self.is_known_closed:
                self.pulse.is_failing = True
            raise
        finally:
            scope.seconds += time.monotonic() - started

    async def clean_up(self, waiting: Awaitable[Any]) -> None:
        """Wait for the end of a transaction that is lost anyway; 2 s, then drop the connection."""
        try:
            async with asyncio.timeout(CLEANUP_SECONDS):
                await waiting
        except BaseException:
            self._opened.terminate()
            raise

    def rollback(self) -> None:
        """Roll back; a connection that is gone has been rolled back by the server."""
        self.is_waiting = self.is_alone = False
        if self.has_begun and self.is_known_closed:
            self.has_begun = False
        if self.has_begun:
            self.wait_for(self.clean_up(self._end("ROLLBACK")))

    def commit(self) -> None:
        """Commit; a connection lost meanwhile leaves the outcome unknown."""
        self.is_waiting = self.is_alone = False
        if not self.has_begun:
            return
        try:
            self.wait_for(self.wire(self._end("COMMIT")))
        except Exception as error:
            if self.is_known_closed:
                raise OutcomeUnknownError from error
            raise

    async def _end(self, command: str) -> None:
        try:
            await self._opened.send(command)
        finally:
            self.has_begun = False

    def wait_for(self, waiting: Awaitable[Answer]) -> Answer:
        """Wait outside of a coroutine, as SQLAlchemy does."""
        try:
            return await_(waiting)
        except Exception as error:  # noqa: BLE001  # re-raised, translated
            self._handle_exception(error)

    def _handle_exception(self, error: Exception) -> NoReturn:
        self._forget_values(error)
        if self.is_read_only and getattr(error, "sqlstate", None) == _READ_ONLY_TRANSACTION:
            raise ReadOnlySessionError from error
        super()._handle_exception(error)

    def _forget_values(self, error: Exception) -> None:
        """Drop what repeats a row's or a parameter's value; tracebacks print it."""
        raise NotImplementedError


def forget_text(error: UnicodeEncodeError) -> None:
    """Drop the text that could not be encoded; where it could not be stays known."""
    error.object = "?" * len(error.object)
    error.args = (error.encoding, error.object, *error.args[2:])


def wait_with_begin(connection: Connection) -> None:
    """Let a connection go without BEGIN until a statement needs one, or until it is given back."""
    adapted = wire_connection_of(connection)
    if adapted is not None:
        adapted.is_waiting = True


def send_alone(connection: Connection) -> None:
    """Let the next statement commit as itself, where nothing was begun before it."""
    adapted = wire_connection_of(connection)
    if adapted is not None and adapted.is_in_the_open:
        adapted.is_alone = True


def wire_connection_of(connection: Connection) -> UnitOfWorkConnection | None:
    """Our adapter under a connection of SQLAlchemy's; `None` under one of another's."""
    adapted: object = connection.connection.dbapi_connection
    return adapted if isinstance(adapted, UnitOfWorkConnection) else None
