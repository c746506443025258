"""Execution of one statement that is a whole unit of work, in one round trip where that can be."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple, Self

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Engine,
    Executable,
    Result,
    Select,
    select,
)
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import greenlet_spawn

from neonkit._seams.sqlalchemy import ROWS_BY_NAME
from neonkit.db._conditions import Conditions, Guard
from neonkit.db._faults.classification import Fault, fault_of
from neonkit.db._keys.answers import StoredAnswer
from neonkit.db._keys.keys import LOOK_UP, Key
from neonkit.db._keys.transactions import Lend, under_key
from neonkit.db._statements.keyed_statement import (
    keyed_statement,
    parameters_of,
    reads_only,
)
from neonkit.db._statements.short_execution import execute_shortly
from neonkit.db._templates import Bound, build_once
from neonkit.db._units.lone_writes import why_not_on
from neonkit.db._units.sessions import AsyncSession, is_beginning_heard
from neonkit.db._wire.connection import wire_connection_of
from neonkit.db._wire.retries import CONTENTION
from neonkit.errors import IdempotencyInProgressError

_MOST_SHAPES = 512
_VERDICT = "22012"  # division by zero: a keyed statement's own verdict
_DECIDED_BY_STATEMENT = ("23", "55P03")


@dataclass(frozen=True)
class StatementRoute:
    """The way of a statement to the database.

    Attributes:
        bind: the engine; or a connection whose transaction somebody else ends, in tests.
        lend: lends a session, where it takes several statements.
        is_lone: whether a statement that writes may commit as itself.
        is_open: whether a plain read may go without a transaction.
    """

    bind: Engine | Connection
    lend: Lend
    is_lone: bool
    is_open: bool


@dataclass(frozen=True)
class StatementUnit:
    """One statement that is a whole unit of work.

    Attributes:
        statement: to execute.
        key: under which it happens once.
        conditions: what must hold for it to happen at all.
        patience: seconds that it may wait for another request with the same key.
    """

    statement: Bound
    key: Key | None
    conditions: Conditions
    patience: float

    @cached_property
    def whole(self) -> Bound:
        """The statement and its conditions."""
        return self.statement.beside(self.conditions.bound)


class _Done(NamedTuple):
    """An executed statement, all of whose rows have been read."""

    names: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    result: CursorResult[Any] | None = None

    @classmethod
    def of(cls, result: CursorResult[Any]) -> Self:
        """Read all that there is."""
        if not result.returns_rows:
            return cls((), (), result)
        return cls(tuple(result.keys()), result.all(), result)

    def answer(self) -> Result[Any]:
        """The result for whoever asked."""
        return (
            self.result if self.result and not self.names else rows_by_name(self.names, self.rows)
        )


async def execute_unit(route: StatementRoute, unit: StatementUnit) -> Result[Any]:
    """Execute a statement and commit, in one round trip where that can be.

    Raises:
        Exception: the error of the first condition that did not hold; nothing happened then.
    """
    if unit.key is None and not unit.conditions:
        (statement,) = unit.statement.templates
        return (await _execute(route, statement, unit.statement.values)).answer()
    if unit.key is None and build_once(reads_only, unit.statement):
        return await _read_under(route, unit)
    is_keyed, unless = unit.key is not None, unit.key.unless if unit.key else None
    keyed = build_once(keyed_statement, unit.whole, is_keyed, unless)
    if keyed is None:
        return await _execute_apart(route, unit)
    taking = parameters_of(unit.key, keyed.names, unit.patience) if unit.key else {}
    try:
        done = await _execute(route, keyed.statement, {**unit.whole.values, **taking})
    except DBAPIError as error:
        return await _settle(route, unit, error)
    verdicts = keyed.verdicts_of(done.rows)
    if unit.key is not None and not all(verdicts):
        # what it did the first time may be why a condition fails now
        kept = _replayed(unit, await _look(route, unit))
        if kept is not None:
            return kept
    unit.conditions.judge(verdicts)
    return rows_by_name(keyed.names, keyed.rows_of(done.rows))


async def _read_under(route: StatementRoute, unit: StatementUnit) -> Result[Any]:
    """Read under conditions, each a column more of every row; where there is no row, ask."""
    statement = build_once(_with_verdicts, unit.whole)
    if statement is None:
        await _judge(route, unit.conditions)
        (alone,) = unit.statement.templates
        return (await _execute(route, alone, unit.statement.values)).answer()
    done = await _execute(route, statement, unit.whole.values)
    if not done.rows:
        await _judge(route, unit.conditions)
        return rows_by_name(done.names[: -len(unit.conditions)], ())
    end = -len(unit.conditions)
    unit.conditions.judge(done.rows[0][end:])
    return rows_by_name(done.names[:end], [row[:end] for row in done.rows])


def _with_verdicts(
    statement: Executable, *conditions: ColumnElement[bool]
) -> Select[*tuple[Any, ...]] | None:
    if not isinstance(statement, Select):
        return None
    judged = (each.label(f"neonkit_holds_{i}") for i, each in enumerate(conditions))
    return statement.add_columns(*judged)


async def _judge(route: StatementRoute, conditions: Conditions) -> None:
    """Ask the conditions in a round trip of their own."""
    if conditions:
        asking = build_once(select, conditions.bound)
        conditions.judge((await _execute(route, asking, conditions.bound.values)).rows[0])


async def judge_guard(route: StatementRoute, guard: Guard) -> None:
    """Ask a guard's condition in a round trip of its own.

    Raises:
        Exception: the condition's error, where it does not hold.
    """
    await _judge(route, Conditions.of((), guard))


async def _execute(
    route: StatementRoute, statement: Executable, parameters: Mapping[str, Any]
) -> _Done:
    if is_beginning_heard():  # such as row-level security by hand, which holds for this one too
        return await _execute_in_session(route, statement, parameters)
    if route.is_open:
        answer = await execute_shortly(route.bind, statement, parameters, is_lone=route.is_lone)
        if answer is not None:
            return _Done(answer.names, answer.rows)
    return await greenlet_spawn(_execute_alone, route, statement, parameters)


async def _execute_in_session(
    route: StatementRoute, statement: Executable, parameters: Mapping[str, Any]
) -> _Done:
    async with route.lend() as session:
        connection = await session.connection()
        done = await connection.run_sync(_executed, statement, parameters)
        await session.commit()
    return done


def _execute_alone(
    route: StatementRoute, statement: Executable, parameters: Mapping[str, Any]
) -> _Done:
    if isinstance(route.bind, Connection):
        with route.bind.begin_nested():
            return _executed(route.bind, statement, parameters)
    with route.bind.connect() as connection:
        wire = wire_connection_of(connection)
        if wire is not None and route.is_open:
            wire.defer_begin()
            if route.is_lone and why_not_on(route.bind) is None:
                wire.send_next_alone()
        done = _executed(connection, statement, parameters)
        connection.commit()
        return done


def _executed(
    connection: Connection, statement: Executable, parameters: Mapping[str, Any]
) -> _Done:
    # by name, as those of a kept answer are found: by column as well, each execution would have to
    # match the columns of its statement to those of the one that was compiled
    return _Done.of(connection.execute(statement, parameters, execution_options=ROWS_BY_NAME))


async def _settle(route: StatementRoute, unit: StatementUnit, error: DBAPIError) -> Result[Any]:
    """Find out why a statement failed: by a condition, by its key, or for a reason of its own.

    Only where the statement itself decided it. After a lost connection or a timeout nothing is
    asked: a second fault would take the place of the first.
    """
    fault = fault_of(error)
    if fault is None or not _is_decided(fault):
        raise error
    found = await _look(route, unit)
    kept = _replayed(unit, found)
    if kept is not None:
        return kept
    unit.conditions.judge(found[: len(unit.conditions)])
    if unit.key is None:
        raise error
    is_free = found[len(unit.conditions)]
    if fault.kind not in CONTENTION:
        return await _execute_apart(route, unit)  # where a refusal is kept
    if not is_free:
        raise IdempotencyInProgressError from error
    raise error


def _replayed(unit: StatementUnit, found: Sequence[Any]) -> Result[Any] | None:
    """The answer that is kept under a statement's key; `None` where none is.

    Args:
        unit: the statement.
        found: what `_look` found. The guard comes before the key, other conditions after it.
    """
    unit.conditions.judge_guard(found)
    answer = None if unit.key is None else unit.key.answer_in(found[len(unit.conditions) :])
    if unit.key is None or answer is None:
        return None
    unit.key.replay(answer)
    return _kept_result(answer)


def _is_decided(fault: Fault) -> bool:
    sqlstate = fault.sqlstate or ""
    return sqlstate == _VERDICT or sqlstate.startswith(_DECIDED_BY_STATEMENT)


async def _look(route: StatementRoute, unit: StatementUnit) -> Sequence[Any]:
    """The verdict of each condition; and the row of `LOOK_UP`, where there is a key."""
    asking = build_once(_looking, unit.conditions.bound, unit.key is not None)
    row = {} if unit.key is None else unit.key.row
    return (await _execute(route, asking, {**unit.conditions.bound.values, **row})).rows[0]


def _looking(is_keyed: bool, *conditions: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    judged = [each.label(f"c{i}") for i, each in enumerate(conditions)]
    return select(*judged, *(LOOK_UP.c if is_keyed else ()))


async def _execute_apart(route: StatementRoute, unit: StatementUnit) -> Result[Any]:
    """Execute a statement that cannot carry its conditions or its key.

    The conditions cost a round trip before it, the key a transaction of several statements.
    """
    await _judge(route, unit.conditions)
    (statement,) = unit.statement.templates
    if unit.key is None:
        return (await _execute(route, statement, unit.statement.values)).answer()

    async def write(session: AsyncSession) -> StoredAnswer:
        connection = await session.connection()
        done = _Done.of(await connection.execute(statement, unit.statement.values))
        return StoredAnswer.of_rows(done.names, done.rows)

    return _kept_result(await under_key(route.lend, write, unit.key))


def _kept_result(answer: StoredAnswer) -> Result[Any]:
    return rows_by_name(answer.names, answer.read_rows())


def rows_by_name(names: tuple[str, ...], rows: Iterable[Sequence[Any]]) -> Result[Any]:
    """A result of rows that were read before, whose columns are known by these names."""
    return IteratorResult(_metadata_of(names), map(tuple, rows))


@lru_cache(_MOST_SHAPES)
def _metadata_of(names: tuple[str, ...]) -> SimpleResultMetaData:
    return SimpleResultMetaData(names)
