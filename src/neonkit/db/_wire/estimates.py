"""Estimates of the planner's: how many rows it expects of a statement that is not executed."""

import json
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Protocol, runtime_checkable

from sqlalchemy import Executable, Result, Select
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.orm import Session
from sqlalchemy.sql.compiler import SQLCompiler
from sqlalchemy.sql.elements import ClauseElement

from neonkit.db._wire.connection import wire_connection_of
from neonkit.db._wire.returning_connection import borrowed_connection, held

PREFIX = "EXPLAIN (FORMAT JSON) "


class Together(Protocol):
    """A statement that travelled with another one; its rows, once both are back."""

    rows: Sequence[Any]


@runtime_checkable
class SendsTogether(Protocol):
    """A connection that can send two statements in one round trip."""

    def together(self) -> AbstractContextManager[Together]:
        """Send the block's first two statements in one round trip."""
        ...


class Explain(Executable, ClauseElement):
    """A statement whose one row is the plan of another, as PostgreSQL's JSON.

    Args:
        statement: what is planned.
    """

    inherit_cache = False

    def __init__(self, statement: Select[*tuple[Any, ...]]) -> None:
        self.statement = statement


@compiles(Explain)
def _compile(element: Explain, compiler: SQLCompiler, **options: Any) -> str:
    return f"{PREFIX}{compiler.process(element.statement, **options)}"


def expected_rows(
    session: Session, statement: Select[*tuple[Any, ...]], parameters: Mapping[str, Any]
) -> int:
    """How many rows the planner expects of a statement, in one round trip."""
    return _rows_in(Session.execute(session, Explain(statement), parameters).all())


def execute_beside(
    session: Session,
    statement: Select[*tuple[Any, ...]],
    whole: Select[*tuple[Any, ...]],
    parameters: Mapping[str, Any],
) -> tuple[Result[Any], int]:
    """Execute one statement, and say how many rows the planner expects of another.

    It takes one round trip where the driver can send both together (psycopg), and two elsewhere.

    Args:
        session: what to ask with.
        statement: what is executed; where it needs a transaction, the other is planned in it.
        whole: what is planned.
        parameters: of both.
    """
    connection = borrowed_connection(session)
    with held(connection):
        wire = wire_connection_of(connection)
        if isinstance(wire, SendsTogether):
            return _execute_together(session, wire, statement, whole, parameters)
    result = Session.execute(session, statement, parameters)
    return result, expected_rows(session, whole, parameters)


def _execute_together(
    session: Session,
    wire: SendsTogether,
    statement: Select[*tuple[Any, ...]],
    whole: Select[*tuple[Any, ...]],
    parameters: Mapping[str, Any],
) -> tuple[Result[Any], int]:
    with wire.together() as explained:
        Session.execute(session, Explain(whole), parameters)
        result = Session.execute(session, statement, parameters)
    return result, _rows_in(explained.rows)


def _rows_in(answer: Sequence[Sequence[Any]]) -> int:
    found = answer[0][0]
    plan = json.loads(found) if isinstance(found, str | bytes) else found
    return int(plan[0]["Plan"]["Plan Rows"])
