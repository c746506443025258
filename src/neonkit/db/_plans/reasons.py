"""When a statement of a session's cannot go by a plan, and takes SQLAlchemy's own road."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import sqlalchemy
from sqlalchemy import Connection, Select
from sqlalchemy.orm import Session, SessionTransactionOrigin

from neonkit._seams.sqlalchemy import (
    has_statement_options,
    has_usual_load_options,
    is_active,
    is_clean,
    is_orm_statement,
    is_tested_sqlalchemy,
    listeners_of,
)
from neonkit.db._wire.returning_connection import is_returned
from neonkit.db._wire.short_way import why_not_short

_OURS = {"after_begin": 1}  # that of `_units.sessions`, on every session
_SESSION_EVENTS = ("do_orm_execute", "after_begin", "loaded_as_persistent")


class Call(NamedTuple):
    """What a session was asked to execute.

    Attributes:
        statement: whatever it was given.
        parameters: values by name; several sets of them, or none.
        options: the execution options of this call.
        rest: anything else that was said.
    """

    statement: object
    parameters: Any
    options: Mapping[str, Any]
    rest: Mapping[str, Any]


def why_not_by_plan(session: Session, call: Call) -> str | None:
    """Why a session cannot read this by a plan; `None` where only the plan itself may say no.

    What this function does not know is a reason. It reads, and changes nothing.
    """
    return (
        _why_not_asked(call)
        or _why_not_session(session)
        or _why_not_now(session)
        or why_not_short(session.bind)
    )


def _why_not_asked(call: Call) -> str | None:
    statement = call.statement
    if not isinstance(statement, Select) or not is_orm_statement(statement):
        return "it is no SELECT of classes"
    if has_statement_options(statement) or not has_usual_load_options(call.options):
        return "it has options"
    if not isinstance(call.parameters or {}, Mapping):
        return "it has several sets of parameters"
    if any(call.rest.values()):
        return "it says more than what to execute"
    return None


def _why_not_session(session: Session) -> str | None:
    if not is_tested_sqlalchemy():
        return f"SQLAlchemy {sqlalchemy.__version__} was not tested"
    if session.execution_options:
        return "the session has execution options"
    for name in _SESSION_EVENTS:
        if len(listeners_of(session, name)) > _OURS.get(name, 0):
            return f"somebody listens to {name}"
    return None


def _why_not_now(session: Session) -> str | None:
    if session.autoflush and not is_clean(session):
        return "it flushes first"
    whole = session.get_transaction()
    if whole is not None and whole.origin is not SessionTransactionOrigin.AUTOBEGIN:
        return "the transaction was begun by hand"
    if whole is not None and not is_active(whole):
        return "the transaction has to be rolled back first"
    if getattr(session, "opening", None) is not None or session.get_nested_transaction():
        return "a command opens its transaction, or a savepoint is open"
    starts: Mapping[Connection, int] = getattr(session, "starts", {})
    if not all(map(is_returned, starts)):
        return "the session holds a connection"
    return None
