"""The road of a plain read that has a plan: a connection, one statement, and objects."""

import asyncio
import time
from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import Engine, Result, Select
from sqlalchemy.orm import Session

from neonkit._seams.sqlalchemy import begin_as_if_connected, compiled_with_values
from neonkit.db._plans.plans import Plan, plan_of
from neonkit.db._plans.reasons import Call, why_not_by_plan
from neonkit.db._wire.dialect import NeonDialect
from neonkit.db._wire.phases import Sending
from neonkit.db._wire.retries import Retries
from neonkit.db._wire.short_way import Meet, NotInTheOpenError, ShortStatement, send_shortly


class ReadyRead(NamedTuple):
    """A read that goes by a plan.

    Attributes:
        plan: of its statement.
        statement: of this time.
        sent: the same with its values.
        engine: where to.
        is_buffered: whether its rows become objects at once.
    """

    plan: Plan
    statement: Select[*tuple[Any, ...]]
    sent: ShortStatement
    engine: Engine
    is_buffered: bool


def ready_read(session: Session, call: Call) -> ReadyRead | None:
    """What a session reads by a plan; `None` where SQLAlchemy's own road is due.

    Nothing is sent or begun by asking.

    Args:
        session: gets the objects.
        call: what it was asked to execute.
    """
    if why_not_by_plan(session, call) is not None:
        return None
    engine, statement = session.bind, call.statement
    assert isinstance(engine, Engine), "asked above"  # noqa: S101
    assert isinstance(statement, Select), "asked above"  # noqa: S101
    try:
        compiled, values = compiled_with_values(statement, engine, call.parameters or {})
        plan = plan_of(compiled)
        if isinstance(plan, str) or plan.is_heard():
            return None
        if plan.compiled not in engine.dialect.plain_reads:  # type: ignore[attr-defined]  # our dialect
            return None
        arguments = plan.arguments(values)
    except Exception:  # noqa: BLE001  # SQLAlchemy's own road raises it again, in its own words
        return None
    sent = ShortStatement(statement, plan.compiled, arguments, values, Sending.PLAIN)
    return ReadyRead(plan, statement, sent, engine, bool(call.options.get("prebuffer_rows")))


async def read_by_plan(
    session: Session, read: ReadyRead, begin_on: Meet, leave: Meet
) -> Result[Any] | None:
    """Read in the open; `None` where the connection does not let it, and nothing was sent.

    Args:
        session: gets the objects.
        read: what is read.
        begin_on: prepares a connection for the session's unit of work.
        leave: is told of it again before it goes back to the pool.
    """
    begin_as_if_connected(session)
    try:
        rows = await _fetch(read, begin_on, leave)
    except NotInTheOpenError:
        return None
    return read.plan.result(read.statement, rows, session, is_buffered=read.is_buffered)


async def _fetch(read: ReadyRead, begin_on: Meet, leave: Meet) -> Sequence[Any]:
    """Fetch, and again after a fault of which nothing is lost: it is a read."""
    dialect = read.engine.dialect
    assert isinstance(dialect, NeonDialect), "asked above"  # noqa: S101
    started, retries = time.monotonic(), None
    while True:
        try:
            reply = await send_shortly(read.engine, read.sent, begin_on, leave)
        except Exception as error:
            retries = retries or Retries(dialect.connector, started)
            pause = retries.pause_after(error)
            if pause is None:
                raise
        else:
            dialect.connector.budget.earn()
            return list(reply.rows)
        await asyncio.sleep(pause)
