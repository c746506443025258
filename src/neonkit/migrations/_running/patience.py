"""Patience with locks: a migration waits its turn so shortly that nobody queues up behind it.

A statement that waits for a strong lock stops everybody who comes after it, even those who would
get along with whoever has the lock now (PostgreSQL's locks are a queue). So it gives up at once,
and the whole revision is run again a little later.
"""

import asyncio
import random
import time
from collections.abc import Callable

from sqlalchemy import Connection, event
from sqlalchemy.engine.interfaces import DBAPICursor
from sqlalchemy.ext.asyncio import AsyncConnection

from neonkit.db import FaultKind, fault_of
from neonkit.errors import MigrationError
from neonkit.migrations._lint.effects import effects_of
from neonkit.migrations._lint.sql import Statement, statements_of

_IN_THE_WAY, _OUT_OF_THE_WAY = "100ms", "60s"
_PAUSE = 0.2, 1.0
_ROWS = {"insert", "update", "delete", "select", "with", "copy", "vacuum", "analyze"}
_WAITS_BESIDE = {"validate"}


async def run_patiently(
    connection: AsyncConnection, run: Callable[[Connection], object], patience: float
) -> None:
    """Run revisions, again and again while a table that they need stays locked.

    Args:
        connection: outside of a transaction.
        run: applies what lacks; what it has applied before it fails stays.
        patience: seconds in which it is tried.

    Raises:
        MigrationError: what `run` raises, at last also for a table that stayed locked.
    """
    deadline = time.monotonic() + patience
    while True:
        try:
            await connection.run_sync(_run_with_short_waits, run)
        except MigrationError as error:
            if not _is_lock(error) or time.monotonic() >= deadline:
                raise
        else:
            return
        await asyncio.sleep(random.uniform(*_PAUSE))  # noqa: S311  # so that replicas do not keep step


def _is_lock(error: MigrationError) -> bool:
    fault = fault_of(error.__cause__) if isinstance(error.__cause__, Exception) else None
    return fault is not None and fault.kind is FaultKind.LOCK_TIMEOUT


def _run_with_short_waits(connection: Connection, run: Callable[[Connection], object]) -> None:
    """Let each statement wait for locks as shortly as it is in the way of others."""
    event.listen(connection, "before_cursor_execute", _bound_wait)
    try:
        run(connection)
    finally:
        event.remove(connection, "before_cursor_execute", _bound_wait)


def _bound_wait(
    _connection: Connection, cursor: DBAPICursor, statement: str, *_others: object
) -> None:
    cursor.execute(f"SET lock_timeout = '{lock_timeout_of(statement)}'")


def lock_timeout_of(script: str) -> str:
    """How long a statement may wait for a lock."""
    is_gentle = all(_is_gentle(each) for each in statements_of(script))
    return _OUT_OF_THE_WAY if is_gentle else _IN_THE_WAY


def _is_gentle(statement: Statement) -> bool:
    """True for what takes no lock that a reader or a writer of the table would wait for."""
    words = [each.text for each in statement.tokens[:5] if each.kind == "word"]
    if words[0] in _ROWS or "concurrently" in words:
        return "full" not in words
    effects = effects_of(statement)
    return bool(effects) and {each.rule for each in effects} <= _WAITS_BESIDE
