"""Unit-of-work connections: BEGIN, COMMIT and every statement go out here, on either driver.

SQLAlchemy's own adapters with four differences: plain reads go in the open, without BEGIN, and so
does a write that is a whole unit of work; BEGIN carries both timeouts; every wait has a bound,
after which the connection is thrown away, because a PostgreSQL cancel hits a backend and not a
query; and each send and wait is counted.

All of it stands behind one door, `UnitOfWorkConnection.send`.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, NoReturn, TypeVar

from sqlalchemy import Connection
from sqlalchemy.connectors.asyncio import AsyncAdapt_dbapi_connection
from sqlalchemy.util import await_

from neonkit.db._scope import Scope, current_scope
from neonkit.db._wire.checks import Check
from neonkit.db._wire.connector import CLEANUP_SECONDS, Connector
from neonkit.db._wire.driver_connection import DriverConnection
from neonkit.db._wire.phases import Opening, Phase, Sending, needs_begin
from neonkit.db._wire.sent_statements import SentStatement
from neonkit.db._wire.transaction_modes import TransactionModes
from neonkit.db._wire.uncommitted_writes import UncommittedWrites
from neonkit.errors import OutcomeUnknownError, ReadOnlySessionError

Answer = TypeVar("Answer")

_SERVER_SPEAKS_FIRST = 0.5  # seconds that the server's own timeout has to be the one that fires
_READ_ONLY_TRANSACTION = "25006"
_SAVEPOINTS = ("SAVEPOINT ", "RELEASE SAVEPOINT ", "ROLLBACK TO SAVEPOINT ")


@dataclass(slots=True)
class Reply:
    """The server's answer to one statement.

    Attributes:
        tag: the command tag, such as `INSERT 0 1`; `None` for a batch.
        rowcount: how many rows it returned or changed; -1 where that is not known.
        rows: all that it returned.
        description: its columns as the DB-API has them; `None` where it returns none.
        trips: round trips of the statement, those of its BEGIN and its preparation included.
    """

    tag: str | None
    rowcount: int
    rows: deque[Any] = field(default_factory=deque)
    description: Any = None
    trips: int = 0


class UnitOfWorkConnection(TransactionModes, AsyncAdapt_dbapi_connection):
    """The part of the adapter that all drivers share; it comes before SQLAlchemy's for one.

    Attributes:
        phase: where the unit of work that has it stands with its transaction.
        writes: how much of that transaction has written something.
        check: a condition that every unit of work on it depends on; `None` for none.
        opening: what goes out with the BEGIN of its unit of work; `None` for nothing.
        budget: of the retries of all connections.
        trips: round trips since it was opened, the opening excepted.
        only_reads: whether this unit of work only reads, whatever the next one does.
        not_older_than: when tables were last changed by this process, on the wall clock;
            statements that were prepared before are prepared anew.
    """

    trips: int
    not_older_than: float = 0

    def __init__(
        self,
        dbapi: Any,
        connection: DriverConnection,
        connector: Connector[Any],
        **options: Any,
    ) -> None:
        super().__init__(dbapi, connection, **options)  # type: ignore[arg-type]  # as its driver made it
        self.timeouts = connector.timeouts
        self.budget = connector.budget
        self.health = connector.health
        self.phase = Phase.CONNECTING
        self.writes = UncommittedWrites()
        self.check: Check | None = None
        self.opening: Opening | None = None
        self.only_reads = False
        self._next = Sending.TRANSACTION
        self._is_vouched_for = False
        self._is_left = False
        self._opened = connection
        self._opened_at = time.monotonic()
        self._bounds_on_server = connector.bounds_on_server
        self._has_left = False  # the last statement, for the server
        self._committing: Scope | None = None  # where what is about to leave commits
        self._has_read_committed = connector.has_read_committed
        self._connector = connector

    @property
    def is_known_closed(self) -> bool:
        """True if the server has closed this connection; known without asking it."""
        return self._opened.is_closed()

    @property
    def is_suspect(self) -> bool:
        """True if another connection, opened after this one or with it, was found silent since."""
        return self._opened_at < self.health.silent_since

    @property
    def is_in_the_open(self) -> bool:
        """True if its unit of work has sent no BEGIN, and everything so far was the same without.

        A statement that commits as itself may follow then.
        """
        return (
            self.phase is Phase.DEFERRED
            and self._has_read_committed
            and self.isolation_level is None
            and not (self.is_read_only or self.only_reads or self.is_deferrable)
        )

    def goes_in_the_open(self, sending: Sending) -> bool:
        """True if a statement that is sent so needs no BEGIN."""
        if sending is Sending.LONE:
            return self.is_in_the_open and self.opening is None
        return not self.needs_begin(sending)

    def defer_begin(self) -> None:
        """Let its unit of work go without BEGIN until a statement needs one."""
        if self.phase is Phase.NONE:
            self.phase = Phase.DEFERRED

    def enter_service(self) -> None:
        """Begin transactions from now on: whoever prepares a new connection has done so."""
        if self.phase is Phase.CONNECTING:
            self.phase = Phase.NONE

    def hand_over(self) -> None:
        """Begin the transaction that statements of the driver's own are expected to be in."""
        is_unproven = self.check is not None and not self._is_vouched_for
        if is_unproven or self.needs_begin(Sending.TRANSACTION):
            self.wait_for(self._begin_for_driver())

    async def _begin_for_driver(self) -> None:
        async with self._execute_mutex:
            await self._prove(Sending.TRANSACTION)
            if self.needs_begin(Sending.TRANSACTION):
                await self.bounded(self.begin())

    def open_with(self, opening: Opening | None) -> None:
        """Send a command with the BEGIN that comes, where there is a table of keys to write to.

        Nothing goes alone then: it would leave the command behind.
        """
        self.opening = opening if self._connector.has_keys else None

    def depend_on(self, check: Check | None) -> None:
        """Let a condition hold for the unit of work that begins now; `None` for none."""
        self.check, self._is_vouched_for = check, False

    @contextmanager
    def vouched_for(self) -> Iterator[None]:
        """Send the block's statements without the check: they carry it, and the block judges it."""
        usual, self._is_vouched_for = self._is_vouched_for, True
        try:
            yield
        finally:
            self._is_vouched_for = usual

    @property
    def is_settled(self) -> bool:
        """True if the check has held for this unit of work, and is not sent again."""
        return self._is_vouched_for

    def take_over(self, *, is_settled: bool) -> None:
        """Go on with a unit of work that was on another connection before."""
        self._is_vouched_for = is_settled

    def settle(self) -> None:
        """Note that a statement carried the check, and that it held."""
        if self.check is not None:
            self.check.guard.judge(holds=True)
            self._is_vouched_for = not self.check.guard.renews

    def send_next_alone(self) -> None:
        """Let the next statement commit as itself, where nothing was begun before it."""
        if self.goes_in_the_open(Sending.LONE):
            self._next = Sending.LONE

    def carry_check(self, compiled: object, sql: str, arguments: Any) -> tuple[str, Any] | None:
        """Put the check inside of a statement that commits as itself; `None` where none is due."""
        if self.check is None or self._is_vouched_for:
            return None
        self.check.guard.refuse_late()
        return self.check.inside(compiled, sql, arguments)

    async def explain_nothing(self) -> None:
        """Judge the check after a statement that carried it and did nothing."""
        async with self._execute_mutex:
            await self._prove(Sending.PLAIN)

    def next_sending(self, *, is_plain: bool) -> Sending:
        """Tell how the statement that comes now is sent; one announcement holds for one of them."""
        announced, self._next = self._next, Sending.TRANSACTION
        return Sending.PLAIN if is_plain else announced

    async def send(self, sql: str, arguments: Any, sending: Sending) -> Reply:
        """Send a statement, wait for all of its answer, and note what it cost and wrote.

        Args:
            sql: one statement, with the driver's own placeholders.
            arguments: their values, already as the driver takes them; a list of them in
                `send_many`.
            sending: with a transaction around it, or without.

        Raises:
            OutcomeUnknownError: the connection was lost, and the statement may have committed.
        """
        return await self._send(sql, arguments, sending, is_batch=False)

    async def send_many(self, sql: str, arguments: Any) -> Reply:
        """Send a statement once for each of several sets of arguments, in a transaction."""
        return await self._send(sql, arguments, Sending.TRANSACTION, is_batch=True)

    async def _send(self, sql: str, arguments: Any, sending: Sending, *, is_batch: bool) -> Reply:
        # one statement at a time: a second task of the same session waits here, as it would in
        # front of a socket
        async with self._execute_mutex:
            before, started = self.trips, time.perf_counter()
            try:
                reply = await self._sent(sql, arguments, sending, is_batch=is_batch)
            except BaseException:
                seconds, trips = time.perf_counter() - started, self.trips - before
                self.tell(SentStatement(sql, sending, seconds, None, trips, has_failed=True))
                raise
            seconds = time.perf_counter() - started
            reply.trips = self.trips - before
        rows = None if is_batch or reply.rowcount < 0 else reply.rowcount
        self.tell(SentStatement(sql, sending, seconds, rows, reply.trips))
        return reply

    async def _sent(self, sql: str, arguments: Any, sending: Sending, *, is_batch: bool) -> Reply:
        if not sql.startswith(_SAVEPOINTS):  # which may be sent in a failed transaction
            await self._prove(sending)
        begins = self.needs_begin(sending)
        if begins and self.opening is not None:
            # PostgreSQL takes SET TRANSACTION before any query only
            self.opening.is_sent = not sql.lstrip().upper().startswith("SET TRANSACTION")
        is_safe = self.phase in {Phase.OPEN, Phase.CONNECTING} or sending is Sending.PLAIN
        commits = not (begins or is_safe)
        exchange = self._exchange(sql, arguments, begins, is_batch)
        reply = await (self._committed(exchange) if commits else self.bounded(exchange))
        if is_batch:
            self.writes.note_write()
        else:
            self.writes.note(reply.tag, sql)
        return reply

    @contextmanager
    def telling(self, sql: str) -> Iterator[None]:
        """Tell of a statement whose rows are read later, and which the block sends."""
        started, has_failed = time.perf_counter(), True
        try:
            yield
            has_failed = False
        finally:
            seconds = time.perf_counter() - started
            self.tell(SentStatement(sql, Sending.TRANSACTION, seconds, None, None, has_failed))

    def tell(self, sent: SentStatement) -> None:
        """Tell whoever watches the engine of a statement."""
        for watcher in self._connector.watchers:
            watcher(sent)

    async def _exchange(self, sql: str, arguments: Any, begins: bool, is_batch: bool) -> Reply:
        """Send and wait, on the driver's connection.

        Args:
            sql: one statement.
            arguments: its values, or a list of them.
            begins: whether BEGIN goes out first, by which the phase becomes `OPEN`.
            is_batch: whether there are several sets of arguments.
        """
        raise NotImplementedError

    async def _prove(self, sending: Sending) -> None:
        """Send the check in a trip of its own, before a statement that does not carry it.

        Once for a unit of work, or each time where the guard renews: as early as its first read,
        so that nothing is seen or locked before.
        """
        check = self.check
        if check is None or self._is_vouched_for:
            return
        check.guard.refuse_late()
        sql, arguments = check.alone()
        begins = self.needs_begin(sending)
        reply = await self.bounded(self._exchange(sql, arguments, begins, is_batch=False))
        check.guard.judge(holds=reply.rows[0][0])
        self._is_vouched_for = not check.guard.renews

    def needs_begin(self, sending: Sending) -> bool:
        """Tell whether BEGIN has to go out before a statement."""
        return needs_begin(
            sending,
            self.phase,
            self.isolation_level,
            has_read_committed=self._has_read_committed,
        )

    async def _committed(self, exchange: Awaitable[Answer]) -> Answer:
        """Wait for what commits: a statement outside of a transaction, or COMMIT itself.

        From the moment that it leaves until its answer is there, the scope is in doubt.

        Raises:
            OutcomeUnknownError: the connection was lost, and it may have committed.
        """
        scope = current_scope()
        self._has_left, self._committing = False, scope
        try:
            answer = await self.bounded(exchange)
        except Exception as error:
            is_lost = self._has_left and self.is_known_closed
            if is_lost and not self._is_refused(error):
                self._forget_values(error)
                raise OutcomeUnknownError from error
            scope.doubts -= self._has_left
            raise
        finally:
            self._committing = None
        scope.doubts -= self._has_left
        return answer

    def note_leaving(self) -> None:
        """Note that the statement's own bytes go out now: it may be done from here on.

        What goes before them, such as its preparation, has no effect: who hangs up until here
        leaves nothing behind.
        """
        self._has_left = True
        if self._committing is not None:
            self._committing.has_sent_commit = True
            self._committing.doubts += 1
            self._committing = None

    def _is_refused(self, error: Exception) -> bool:
        """True if the server said that it did not do it, before it hung up."""
        return False

    def beginning(self) -> list[str]:
        """The commands that begin a transaction and bound its waits on the server."""
        modes = [
            f"ISOLATION LEVEL {self.isolation_level}" if self.isolation_level else "",
            "READ ONLY" if self.is_read_only or self.only_reads else "",
            "DEFERRABLE" if self.is_deferrable else "",
        ]
        return [
            " ".join(["BEGIN", *filter(None, modes)]),
            f"SET LOCAL statement_timeout = {int(self.timeouts.statement * 1000)}",
            f"SET LOCAL lock_timeout = {int(self.timeouts.lock * 1000)}",
            *([self.opening.command] if self.opening and self.opening.is_sent else []),
        ]

    async def begin(self) -> None:
        """Begin a transaction in a round trip of its own."""
        self.phase = Phase.OPEN  # as soon as BEGIN is done, even where what goes with it fails
        await self._opened.send("; ".join(self.beginning()))

    async def bounded(self, waiting: Awaitable[Answer]) -> Answer:
        """Wait for the server, no longer than the statement and the request may take.

        Raises:
            TimeoutError: the connection is closed then, since a late cancel could hit
                somebody else's query.
        """
        scope = current_scope()
        limit = self.timeouts.statement + _SERVER_SPEAKS_FIRST
        remaining = scope.remaining()
        started = time.monotonic()
        self.health.last_used = self.health.clock()
        try:
            async with asyncio.timeout(limit if remaining is None else min(limit, remaining)):
                return await waiting
        except BaseException as error:
            if isinstance(error, TimeoutError):
                self._opened.terminate()
                self._note_silence(started, limit)
            self._is_left = isinstance(error, asyncio.CancelledError)
            if self.is_known_closed:
                self.health.is_failing = True
            raise
        finally:
            scope.seconds += time.monotonic() - started

    def _note_silence(self, started: float, limit: float) -> None:
        """Suspect what is older, where the server's own timeout should have spoken before ours."""
        should_have_spoken = self._bounds_on_server or self.phase is Phase.OPEN
        if should_have_spoken and time.monotonic() - started >= limit:
            self.health.silent_since = started

    def abandon(self) -> None:
        """Close it; where a statement is running that nobody waits for, the server is told so."""
        if self._is_left:
            self.terminate()  # type: ignore[attr-defined]  # each driver's adapter has it
        else:
            self._opened.terminate()

    async def clean_up(self, waiting: Awaitable[Any]) -> None:
        """Wait for the end of a transaction that is lost anyway; 2 s, then drop the connection.

        A cancelled connection is thrown away as well: its answer is still to come, and would be
        taken for that of the next statement.
        """
        try:
            async with asyncio.timeout(CLEANUP_SECONDS):
                await waiting
        except BaseException:
            self._opened.terminate()
            raise

    def rollback(self) -> None:
        """Roll back; a connection that is gone has been rolled back by the server."""
        was_open = self._end_unit() and not self.is_known_closed
        if was_open:
            self.wait_for(self.clean_up(self._opened.send("ROLLBACK")))

    def commit(self) -> None:
        """Commit; a connection lost meanwhile leaves the outcome unknown, of what was not read."""
        only_reads = self.is_read_only or self.only_reads
        if not self._end_unit():
            return
        try:
            self.wait_for(self._committed(self._send_commit()))
        except OutcomeUnknownError:
            if not only_reads:
                raise
            current_scope().doubts -= 1

    async def _send_commit(self) -> None:
        self.note_leaving()
        await self._opened.send("COMMIT")

    def _end_unit(self) -> bool:
        """Forget the unit of work; tell whether it had a transaction."""
        was_open = self.phase is Phase.OPEN
        if self.phase is not Phase.CONNECTING:
            self.phase = Phase.NONE
        self._next = Sending.TRANSACTION
        self.check, self._is_vouched_for = None, False
        self.opening = None
        self.only_reads = False
        self.writes.forget()
        return was_open

    def wait_for(self, waiting: Awaitable[Answer]) -> Answer:
        """Wait outside of a coroutine, as SQLAlchemy does."""
        try:
            return await_(waiting)
        except Exception as error:  # noqa: BLE001  # re-raised, translated
            self._handle_exception(error)

    def raise_translated(self, error: BaseException) -> NoReturn:
        """Raise what the driver raised, as the class that SQLAlchemy knows."""
        try:
            raise error  # SQLAlchemy keeps the traceback of what is being handled in its greenlet
        except Exception as handled:  # noqa: BLE001  # re-raised, translated
            self._handle_exception(handled)

    def _handle_exception(self, error: Exception) -> NoReturn:
        self._forget_values(error)
        if (self.is_read_only or self.only_reads) and getattr(
            error, "sqlstate", None
        ) == _READ_ONLY_TRANSACTION:
            raise ReadOnlySessionError from error
        super()._handle_exception(error)

    def _forget_values(self, error: Exception) -> None:
        """Drop what repeats a row's or a parameter's value; tracebacks print it."""
        raise NotImplementedError


def forget_text(error: UnicodeEncodeError) -> None:
    """Drop the text that could not be encoded; where it could not be stays known."""
    error.object = "?" * len(error.object)
    error.args = (error.encoding, error.object, *error.args[2:])


def wire_connection_of(connection: Connection) -> UnitOfWorkConnection | None:
    """Our adapter under a connection of SQLAlchemy's; `None` under one of another's."""
    # never a subclass's: asked for by anybody else, it begins a transaction
    wire: object = Connection.connection.__get__(connection).dbapi_connection
    return wire if isinstance(wire, UnitOfWorkConnection) else None
