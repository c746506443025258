"""Each statement of an engine as an event; the engine does not know who listens."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from sqlalchemy import Connection, Engine, event
from sqlalchemy.engine import ExceptionContext, ExecutionContext
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.ext.asyncio import AsyncEngine

from neonkit.db import SentStatement, current_scope, is_ours, watching
from neonkit.observe._statement_fingerprints import Fingerprint

_STARTED = "neonkit_started"


@dataclass(frozen=True)
class StatementEvent:
    """One statement that was sent, and how that went; its parameters are not in it.

    Attributes:
        statement: as it was sent. Literals of your own `text()` are in it: show
            `fingerprint` instead.
        route: what it was sent for, such as `/posts/{id}`; `-` outside of a request.
        seconds: from sending to the last row, or to the error.
        rows: how many it returned or changed; `None` where that is not known: it failed, or
            was a batch or a stream.
        trips: how often it waited for the database, for BEGIN and preparation too; `None` where
            the engine is not one of `create_engine`'s.
        has_failed: whether it ended in an error.
    """

    statement: str = field(repr=False)
    route: str
    seconds: float
    rows: int | None
    trips: int | None = None
    has_failed: bool = False

    @property
    def fingerprint(self) -> Fingerprint:
        """The statement without its values."""
        return Fingerprint.of(self.statement)


Sink = Callable[[StatementEvent], None]


@contextmanager
def watch_statements(engine: AsyncEngine | Engine, *sinks: Sink) -> Iterator[None]:
    """Give each statement of an engine to `sinks`, for the block.

    Works on any SQLAlchemy engine. `BEGIN`, `COMMIT` and `ROLLBACK` are no statements here,
    savepoints are. A sink runs where the statement ran: it must be quick, must not wait, and what
    it raises ends the statement.

    Args:
        engine: sessions on it may exist already.
        sinks: called in this order.
    """
    target = engine.sync_engine if isinstance(engine, AsyncEngine) else engine
    if is_ours(target):
        with watching(target, _watcher(sinks)):
            yield
        return
    listeners = _listeners(sinks)
    for name, listener in listeners.items():
        event.listen(target, name, listener)
    try:
        yield
    finally:
        for name, listener in listeners.items():
            event.remove(target, name, listener)


def _watcher(sinks: tuple[Sink, ...]) -> Callable[[SentStatement], None]:
    def watch(sent: SentStatement) -> None:
        sql, _, seconds, rows, trips, has_failed = sent
        query = StatementEvent(sql, current_scope().label(), seconds, rows, trips, has_failed)
        for sink in sinks:
            sink(query)

    return watch


def _listeners(sinks: tuple[Sink, ...]) -> dict[str, Callable[..., None]]:
    def emit(query: StatementEvent) -> None:
        for sink in sinks:
            sink(query)

    def finished(
        _connection: Connection,
        cursor: DBAPICursor,
        statement: str,
        _parameters: object,
        context: ExecutionContext,
        _executemany: bool,
    ) -> None:
        seconds = _seconds_of(context)
        if seconds is not None:
            rows = cursor.rowcount if cursor.rowcount >= 0 else None
            emit(StatementEvent(statement, current_scope().label(), seconds, rows))

    def failed(error: ExceptionContext) -> None:
        context = error.execution_context
        seconds = _seconds_of(context)
        if context is not None and seconds is not None:
            statement, label = error.statement or "", current_scope().label()
            emit(StatementEvent(statement, label, seconds, None, has_failed=True))

    return {
        "before_cursor_execute": _start,
        "after_cursor_execute": finished,
        "handle_error": failed,
    }


def _start(
    _connection: Connection,
    _cursor: DBAPICursor,
    _statement: str,
    _parameters: object,
    context: ExecutionContext,
    _executemany: bool,
) -> None:
    vars(context)[_STARTED] = time.perf_counter()


def _seconds_of(context: ExecutionContext | None) -> float | None:
    """Seconds since the statement was sent; `None` where none is on its way."""
    started: float | None = None if context is None else vars(context).pop(_STARTED, None)
    return None if started is None else time.perf_counter() - started
