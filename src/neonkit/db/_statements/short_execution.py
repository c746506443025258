"""A statement that is a whole unit of work, on the short way: no greenlet, connection or result."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from sqlalchemy import Engine, Executable
from sqlalchemy.sql.compiler import SQLCompiler

from neonkit._seams.sqlalchemy import (
    Returned,
    compiled_with_values,
    is_tested_sqlalchemy,
    returned_by,
)
from neonkit.db._units.lone_writes import why_not_on
from neonkit.db._wire.connection import UnitOfWorkConnection
from neonkit.db._wire.dialect import NeonDialect
from neonkit.db._wire.phases import Sending
from neonkit.db._wire.short_way import (
    NotInTheOpenError,
    ShortStatement,
    send_shortly,
    why_not_short,
)

_returned: WeakKeyDictionary[SQLCompiler, Returned] = WeakKeyDictionary()


class ShortAnswer(NamedTuple):
    """What a statement returned.

    Attributes:
        names: of its columns.
        rows: each value as its column's type has it.
    """

    names: tuple[str, ...]
    rows: Sequence[Sequence[Any]]


async def execute_shortly(
    engine: object, statement: Executable, values: Mapping[str, Any], *, is_lone: bool
) -> ShortAnswer | None:
    """Execute a statement and commit; `None` where SQLAlchemy's own execution is due.

    Nothing was sent then.

    Args:
        engine: to whom.
        statement: all that there is to do.
        values: of its parameters, by name.
        is_lone: whether one that writes may commit as itself.
    """
    if not isinstance(engine, Engine) or not is_tested_sqlalchemy() or why_not_short(engine):
        return None
    ready = _ready(engine, statement, values, is_lone)
    if ready is None:
        return None
    sent, returned = ready
    try:
        reply = await send_shortly(engine, sent, _defer, _leave)
    except NotInTheOpenError:
        return None
    return ShortAnswer(returned.names, returned.tuples(list(reply.rows)))


def _ready(
    engine: Engine, statement: Executable, values: Mapping[str, Any], is_lone: bool
) -> tuple[ShortStatement, Returned] | None:
    try:
        compiled, given = compiled_with_values(statement, engine, values)
        returned = _returned_by(compiled)
        if returned is None:
            return None
        sending = _sending_of(returned.compiled, engine, is_lone)
        if sending is None:
            return None
        arguments = returned.arguments(given)
    except Exception:  # noqa: BLE001  # SQLAlchemy's own execution raises it again, in its own words
        return None
    return ShortStatement(statement, returned.compiled, arguments, given, sending), returned


def _returned_by(compiled: object) -> Returned | None:
    if not isinstance(compiled, SQLCompiler):
        return None
    known = _returned.get(compiled)
    if known is None:
        known = returned_by(compiled)
        if known is not None:
            _returned[compiled] = known
    return known


def _sending_of(compiled: SQLCompiler, engine: Engine, is_lone: bool) -> Sending | None:
    assert isinstance(engine.dialect, NeonDialect), "asked before"  # noqa: S101
    if compiled in engine.dialect.plain_reads:
        return Sending.PLAIN
    return Sending.LONE if is_lone and why_not_on(engine) is None else None


def _defer(wire: UnitOfWorkConnection) -> None:
    wire.defer_begin()


def _leave(_wire: UnitOfWorkConnection) -> None:
    """Nothing of its unit of work goes on."""
