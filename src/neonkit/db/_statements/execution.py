"""One statement that is a whole unit of work, in one round trip where that can be."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import Any, NamedTuple, Self

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Delete,
    Engine,
    Executable,
    Result,
    Select,
    Update,
    select,
)
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlalchemy.util import greenlet_spawn
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit.db._faults.classification import fault_of
from neonkit.db._keys.keys import Key, look, raise_problem, read_value, seen, write_value
from neonkit.db._keys.transactions import Lend, under_key
from neonkit.db._statements.keyed_statement import keyed_statement, parameters_of
from neonkit.db._statements.templates import Bound, build_once
from neonkit.db._units.lone_writes import why_not_on
from neonkit.db._units.retries import CONTENTION
from neonkit.db._wire.connection import send_alone, wait_with_begin
from neonkit.errors import ConditionFailedError, IdempotencyInProgressError

# Rows are found by name, as those of a kept answer are. By column as well, each execution would
# have to match the columns of its statement to those of the one that was compiled.
_BY_NAME = {"_result_disable_adapt_to_context": True}
_MOST_SHAPES = 512
_KEYED = partial(keyed_statement, is_keyed=True)


@dataclass(frozen=True)
class StatementRoute:
    """How a statement gets to the database.

    Attributes:
        bind: the engine; or a connection whose transaction somebody else ends, in tests.
        lend: lends a session, where it takes several statements.
        is_lone: whether a statement that writes may commit as itself.
    """

    bind: Engine | Connection
    lend: Lend
    is_lone: bool


@dataclass(frozen=True)
class StatementUnit:
    """One statement that is a whole unit of work.

    Attributes:
        statement: what is executed.
        key: under which it happens once.
        condition: what must hold for it to happen at all.
        patience: seconds that it may wait for another request with the same key.
    """

    statement: Bound
    key: Key | None
    condition: Bound | None
    patience: float

    @cached_property
    def whole(self) -> Bound:
        """The statement and, if there is one, its condition."""
        return self.statement if self.condition is None else self.statement.beside(self.condition)


class _Done(NamedTuple):
    """What a statement did.

    Attributes:
        names: of its columns; none where it returns no rows.
        rows: what it returned.
        result: SQLAlchemy's own, with the number of rows that it changed.
    """

    names: tuple[str, ...]
    rows: Sequence[Sequence[Any]]
    result: CursorResult[Any]

    @classmethod
    def of(cls, result: CursorResult[Any]) -> Self:
        """Read all that there is."""
        if not result.returns_rows:
            return cls((), (), result)
        return cls(tuple(result.keys()), result.all(), result)

    @property
    def is_empty(self) -> bool:
        """Whether it returned nothing, or changed nothing where it returns nothing."""
        return not (self.rows if self.names else self.result.rowcount)

    def answer(self) -> Result[Any]:
        """What the caller gets."""
        return rows_by_name(self.names, self.rows) if self.names else self.result


async def execute_once(road: StatementRoute, once: StatementUnit) -> Result[Any]:
    """Execute a statement and commit, in one round trip where that can be.

    Raises:
        ConditionFailedError: the condition did not hold; nothing happened.
    """
    (statement,) = once.statement.templates
    if once.key is None and once.condition is None:
        return (await _execute(road, statement, once.statement.values)).answer()
    if once.key is None and isinstance(statement, Select | Update | Delete):
        return await _execute_where(road, once.whole, tells=isinstance(statement, Select))
    whole = build_once(_KEYED if once.key else keyed_statement, once.whole)
    if whole is None:
        return await _execute_apart(road.lend, once)
    taking = parameters_of(once.key, whole.names, once.patience) if once.key else {}
    try:
        done = await _execute(road, whole.statement, {**once.whole.values, **taking})
    except DBAPIError as error:
        return await _settle(road, once, error)
    return rows_by_name(whole.names, whole.rows_of(done.rows))


async def _execute_where(road: StatementRoute, whole: Bound, *, tells: bool) -> Result[Any]:
    """Execute under a condition; where no row says whether it held, ask.

    A SELECT tells it in a column more, since an aggregate has a row whatever its WHERE says.
    """
    statement = build_once(_telling if tells else _limited, whole)
    done = await _execute(road, statement, whole.values)
    if tells:
        holds = done.rows[0][-1] if done.rows else await _holds(road, whole)
        done = _Done(done.names[:-1], [row[:-1] for row in done.rows], done.result)
    else:
        holds = not done.is_empty or await _holds(road, whole)
    if not holds:
        raise ConditionFailedError
    return done.answer()


def _telling(
    statement: Select[*tuple[Any, ...]], condition: ColumnElement[bool]
) -> Select[*tuple[Any, ...]]:
    return statement.add_columns(condition.label("neonkit_holds"))


def _limited(statement: Update | Delete, condition: ColumnElement[bool]) -> Update | Delete:
    return statement.where(condition)


async def _holds(road: StatementRoute, whole: Bound) -> bool:
    asking = build_once(_asking, whole)
    return bool((await _execute(road, asking, whole.values)).rows[0][0])


def _asking(_statement: Executable, condition: ColumnElement[bool]) -> Select[*tuple[Any, ...]]:
    return select(condition)


async def _execute(
    road: StatementRoute, statement: Executable, parameters: Mapping[str, Any]
) -> _Done:
    return await greenlet_spawn(_execute_alone, road, statement, parameters)


def _execute_alone(
    road: StatementRoute, statement: Executable, parameters: Mapping[str, Any]
) -> _Done:
    if isinstance(road.bind, Connection):
        with road.bind.begin_nested():
            return _executed(road.bind, statement, parameters)
    with road.bind.connect() as connection:
        wait_with_begin(connection)
        if road.is_lone and why_not_on(road.bind) is None:
            send_alone(connection)
        done = _executed(connection, statement, parameters)
        connection.commit()
        return done


def _executed(
    connection: Connection, statement: Executable, parameters: Mapping[str, Any]
) -> _Done:
    return _Done.of(connection.execute(statement, parameters, execution_options=_BY_NAME))


async def _settle(road: StatementRoute, once: StatementUnit, error: DBAPIError) -> Result[Any]:
    """Find out why the statement failed: by its condition, its key, or for a reason of its own."""
    fault = fault_of(error)
    if fault is None or error.connection_invalidated:
        raise error
    asking, values = look(once.key, *(once.condition.templates if once.condition else ()))
    looked = await _execute(road, asking, {**once.whole.values, **values})
    holds, is_free, answer = seen(looked.rows[0], once.key)
    if not holds:
        raise ConditionFailedError from error
    if once.key is None:
        raise error
    if answer is not None:
        once.key.on_replay()
        raise_problem(once.key, answer)
        return _kept_result(answer)
    if fault.kind not in CONTENTION:
        return await _execute_apart(road.lend, once)  # where a refusal is kept
    if not is_free:
        raise IdempotencyInProgressError from error
    raise error


async def _execute_apart(lend: Lend, once: StatementUnit) -> Result[Any]:
    """The same in a transaction of several statements."""

    async def execute(session: AsyncSession) -> CursorResult[Any]:
        connection = await session.connection()
        if once.condition is not None:
            holds = build_once(select, once.condition)
            if not await connection.scalar(holds, once.condition.values):
                raise ConditionFailedError
        (statement,) = once.statement.templates
        result: CursorResult[Any] = await connection.execute(statement, once.statement.values)
        return result

    async def write(session: AsyncSession) -> str:
        result = await execute(session)
        done = _Done.of(result)
        rows = [write_value(tuple(row)) for row in done.rows]
        return json.dumps({"names": done.names, "rows": rows})

    if once.key is not None:
        return _kept_result(await under_key(lend, write, once.key))
    async with lend() as session:
        done = _Done.of(await execute(session))
        await session.commit()
        return done.answer()


def _kept_result(answer: str) -> Result[Any]:
    kept = json.loads(answer)
    return rows_by_name(tuple(kept["names"]), [read_value(row) for row in kept["rows"]])


def rows_by_name(names: tuple[str, ...], rows: Iterable[Sequence[Any]]) -> Result[Any]:
    """A result of rows that were read before, whose columns are known by these names."""
    return IteratorResult(_metadata_of(names), map(tuple, rows))


@lru_cache(_MOST_SHAPES)
def _metadata_of(names: tuple[str, ...]) -> SimpleResultMetaData:
    return SimpleResultMetaData(names)
