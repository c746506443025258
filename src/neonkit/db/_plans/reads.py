"""The road of a plain read that has a plan: a connection, one statement, and objects."""

import asyncio
import time
from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Engine, Result, Select
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.util import await_

from neonkit._seams.sqlalchemy import (
    begin_as_if_connected,
    brief_connection,
    compiled_with_values,
    context_of,
    lend,
    listeners_of,
    raise_handled,
)
from neonkit.db._plans.plans import Plan, plan_of
from neonkit.db._plans.reasons import Call, why_not_by_plan
from neonkit.db._wire.connection import UnitOfWorkConnection
from neonkit.db._wire.dialect import NeonDialect
from neonkit.db._wire.phases import Sending
from neonkit.db._wire.retries import Retries

Meet = Callable[[UnitOfWorkConnection], None]


def read_by_plan(session: Session, call: Call, begin_on: Meet, leave: Meet) -> Result[Any] | None:
    """Read in the open, by the plan of a statement; `None` where SQLAlchemy's own road is due.

    Nothing has been sent or begun then.

    Args:
        session: gets the objects.
        call: what it was asked to execute.
        begin_on: prepares a connection for the session's unit of work.
        leave: is told of it again before it goes back to the pool.
    """
    if why_not_by_plan(session, call) is not None:
        return None
    engine, statement = session.bind, call.statement
    assert isinstance(engine, Engine), "asked above"  # noqa: S101
    assert isinstance(statement, Select), "asked above"  # noqa: S101
    found = _planned(statement, engine, call.parameters or {})
    if found is None:
        return None
    plan, values, arguments = found
    begin_as_if_connected(session)
    sent = plan.compiled, values, arguments
    rows = _fetch_at_last(engine, lambda: _fetch(engine, statement, sent, begin_on, leave))
    is_buffered = bool(call.options.get("prebuffer_rows"))
    return plan.result(statement, rows, session, is_buffered=is_buffered)


def _planned(
    statement: Select[*tuple[Any, ...]], engine: Engine, given: dict[str, Any]
) -> tuple[Plan, dict[str, Any], tuple[Any, ...]] | None:
    try:
        compiled, values = compiled_with_values(statement, engine, given)
        plan = plan_of(compiled)
        if isinstance(plan, str) or plan.is_heard():
            return None
        if compiled not in engine.dialect.plain_reads:  # type: ignore[attr-defined]  # our dialect
            return None
        return plan, values, plan.arguments(values)
    except Exception:  # noqa: BLE001  # SQLAlchemy's own road raises it again, in its own words
        return None


def _fetch_at_last(engine: Engine, fetch: Callable[[], Sequence[Any]]) -> Sequence[Any]:
    """Fetch, and again after a fault of which nothing is lost: it is a read."""
    dialect = engine.dialect
    assert isinstance(dialect, NeonDialect), "asked above"  # noqa: S101
    started, retries = time.monotonic(), None
    while True:
        try:
            rows = fetch()
        except Exception as error:
            retries = retries or Retries(dialect.connector, started)
            pause = retries.pause_after(error)
            if pause is None:
                raise
        else:
            dialect.connector.budget.earn()
            return rows
        await_(asyncio.sleep(pause))


def _fetch(
    engine: Engine,
    statement: Select[*tuple[Any, ...]],
    sent: tuple[SQLCompiler, dict[str, Any], tuple[Any, ...]],
    begin_on: Meet,
    leave: Meet,
) -> Sequence[Any]:
    """Send a plain read on a connection of the pool's, and give that back."""
    compiled, values, arguments = sent
    connection = brief_connection(engine, lend(engine))
    try:
        wire = connection.connection.dbapi_connection
        assert isinstance(wire, UnitOfWorkConnection), "of our engine"  # noqa: S101
        begin_on(wire)
        context = context_of(connection, compiled, statement, (compiled.string, arguments, values))
        cursor: Any = context.cursor
        try:
            sql, given = compiled.string, arguments
            for listener in listeners_of(engine, "before_cursor_execute"):
                sql, given = listener(connection, cursor, sql, given, context, False)
            told = connection, cursor, sql, given, context, False
            cursor.sending = Sending.PLAIN
            cursor.execute(sql, given)
            for listener in listeners_of(engine, "after_cursor_execute"):
                listener(*told)
        except BaseException as error:  # noqa: BLE001  # it is raised again
            raise_handled(connection, error, context)
        leave(wire)
        return cursor.fetchall()
    finally:
        connection.close()
