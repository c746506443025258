"""Units of work that may be run again, and that happen once under a key."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, TypeVar, get_type_hints

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from sqlalchemy import (
    ColumnElement,
    CursorResult,
    Delete,
    Executable,
    FrozenResult,
    Result,
    Select,
    Update,
    select,
    true,
)
from sqlalchemy.engine.result import IteratorResult, SimpleResultMetaData
from sqlalchemy.exc import DBAPIError
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit.db._faults import fault_of, problem_error_of
from neonkit.db._keys import (
    Key,
    UnstorableAnswerError,
    look,
    raise_problem,
    read_value,
    store,
    take,
    write_value,
    written_problem,
)
from neonkit.db._scope import current_scope
from neonkit.db._sessions import leave_commit_to_us, send_whole
from neonkit.db._sqlstates import FaultKind
from neonkit.db._whole import parameters_of, whole_of
from neonkit.errors import ConditionFailedError, IdempotencyInProgressError, ProblemError

Answer = TypeVar("Answer")
Lend = Callable[[], AbstractAsyncContextManager[AsyncSession]]

_CONTENTION = {FaultKind.SERIALIZATION, FaultKind.DEADLOCK, FaultKind.LOCK_TIMEOUT}
_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.5
_UNHURRIED = 15.0  # seconds to go on where nobody set a deadline


class RetryBudget:
    """Tokens for running work again: a service that mostly fails stops repeating itself.

    Each further run costs one token, and each success earns a tenth of one.
    """

    def __init__(self, most: float = 100.0) -> None:
        self._most = self._left = most

    def spend(self) -> bool:
        """Take a token, if there is one."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def earn(self) -> None:
        """Note a success."""
        self._left = min(self._most, self._left + 0.1)


async def again_on_contention(
    attempt: Callable[[], Awaitable[Answer]], budget: RetryBudget
) -> Answer:
    """Run an attempt until it does not collide: SQLSTATE 40001, 40P01, 55P03.

    Pauses with full jitter in between, inside the deadline of the scope and the budget; then the
    last collision is raised.
    """
    remaining = current_scope().remaining()
    deadline = time.monotonic() + (_UNHURRIED if remaining is None else remaining)
    longest = _FIRST_PAUSE
    while True:
        try:
            answer = await attempt()
        except Exception as error:
            fault = fault_of(error)
            pause = random.uniform(0, longest)  # noqa: S311  # no secret
            if (
                fault is None
                or fault.kind not in _CONTENTION
                or time.monotonic() + pause >= deadline
                or not budget.spend()
            ):
                raise
            await asyncio.sleep(pause)
            longest = min(longest * 2, _LONGEST_PAUSE)
        else:
            budget.earn()
            return answer


async def run_once(
    lend: Lend, work: Callable[[AsyncSession], Awaitable[Answer]], key: Key | None
) -> Answer:
    """Run a function of a session, and commit."""
    if key is None:
        async with lend() as session:
            with leave_commit_to_us(session):
                made = await work(session)
            await session.commit()
            return made
    adapter = _adapter_of(work)

    async def write(session: AsyncSession) -> str:
        made = await work(session)
        await session.flush()
        try:
            return f'{{"value": {adapter.dump_json(made).decode()}}}'
        except PydanticSerializationError:
            raise UnstorableAnswerError(type(made).__name__) from None

    answer = await _under_key(lend, write, key)
    return adapter.validate_python(json.loads(answer)["value"])


@dataclass(frozen=True)
class Once:
    """One statement that is a whole unit of work.

    Attributes:
        statement: what is executed.
        parameters: of it, by name.
        key: under which it happens once.
        condition: what must hold for it to happen at all.
        patience: seconds that it may wait for another request with the same key.
    """

    statement: Executable
    parameters: Mapping[str, Any]
    key: Key | None
    condition: ColumnElement[bool] | None
    patience: float


async def execute_once(lend: Lend, once: Once) -> Result[Any]:
    """Execute a statement and commit, in one round trip where that can be.

    Raises:
        ConditionFailedError: the condition did not hold; nothing happened.
    """
    if once.key is None and once.condition is None:
        return _opened(await _execute_alone(lend, once.statement, once.parameters))
    if once.key is None and isinstance(once.statement, Select | Update | Delete):
        return await _execute_where(lend, once, once.statement)
    whole = whole_of(once.statement, is_keyed=once.key is not None, condition=once.condition)
    if whole is None:
        return await _execute_apart(lend, once)
    taking = parameters_of(once.key, whole.names, once.patience) if once.key else {}
    try:
        done = await _execute_alone(lend, whole.statement, {**once.parameters, **taking})
    except DBAPIError as error:
        return await _settle(lend, once, error)
    return _result(whole.names, whole.rows_of(_opened(done)))


async def _execute_where(
    lend: Lend, once: Once, statement: Select[*tuple[Any, ...]] | Update | Delete
) -> Result[Any]:
    """Execute under a condition; where no row says whether it held, ask.

    A SELECT tells it in a column more, since an aggregate has a row whatever its WHERE says.
    """
    condition = true() if once.condition is None else once.condition
    if not isinstance(statement, Select):
        done = await _execute_alone(lend, statement.where(condition), once.parameters)
        if not _is_empty(done) or await _holds(lend, condition):
            return _opened(done)
        raise ConditionFailedError
    telling = statement.add_columns(condition.label("neonkit_holds"))
    told = _opened(await _execute_alone(lend, telling, once.parameters)).freeze()
    row = told().first()
    if not (row[-1] if row is not None else await _holds(lend, condition)):
        raise ConditionFailedError
    return told().columns(*range(len(told().keys()) - 1))


async def _holds(lend: Lend, condition: ColumnElement[bool]) -> bool:
    return bool(_opened(await _execute_alone(lend, select(condition), {})).scalar())


async def _execute_alone(
    lend: Lend, statement: Executable, parameters: Mapping[str, Any]
) -> "FrozenResult[Any] | CursorResult[Any]":
    async with lend() as session:
        connection = await session.connection()
        send_whole(session)
        result = await connection.execute(statement, parameters)
        done = result.freeze() if result.returns_rows else result
        await session.commit()
        return done


def _opened(done: "FrozenResult[Any] | CursorResult[Any]") -> Result[Any]:
    return done() if isinstance(done, FrozenResult) else done


def _is_empty(done: "FrozenResult[Any] | CursorResult[Any]") -> bool:
    return not (done.data if isinstance(done, FrozenResult) else done.rowcount)


async def _settle(lend: Lend, once: Once, error: DBAPIError) -> Result[Any]:
    """Find out why the statement failed: by its condition, its key, or for a reason of its own."""
    fault = fault_of(error)
    if fault is None or error.connection_invalidated:
        raise error
    async with lend() as session:
        connection = await session.connection()
        send_whole(session)
        holds, is_free, answer = await look(connection, once.key, once.condition)
        await session.rollback()
    if not holds:
        raise ConditionFailedError from error
    if once.key is None:
        raise error
    if answer is not None:
        once.key.on_replay()
        raise_problem(once.key, answer)
        return _kept_result(answer)
    if fault.kind not in _CONTENTION:
        return await _execute_apart(lend, once)  # where a refusal is kept
    if not is_free:
        raise IdempotencyInProgressError from error
    raise error


async def _execute_apart(lend: Lend, once: Once) -> Result[Any]:
    """The same in a transaction of several statements."""

    async def execute(session: AsyncSession) -> CursorResult[Any]:
        connection = await session.connection()
        holds, _, _ = await look(connection, None, once.condition)
        if not holds:
            raise ConditionFailedError
        return await connection.execute(once.statement, once.parameters)

    async def write(session: AsyncSession) -> str:
        result = await execute(session)
        names = list(result.keys()) if result.returns_rows else []
        rows = [write_value(tuple(row)) for row in result] if names else []
        return json.dumps({"names": names, "rows": rows})

    if once.key is not None:
        return _kept_result(await _under_key(lend, write, once.key))
    async with lend() as session:
        result = await execute(session)
        whole = result.freeze()() if result.returns_rows else result
        await session.commit()
        return whole


def _kept_result(answer: str) -> Result[Any]:
    kept = json.loads(answer)
    return _result(kept["names"], [tuple(read_value(row)) for row in kept["rows"]])


def _result(names: list[str], rows: list[tuple[Any, ...]]) -> Result[Any]:
    return IteratorResult(SimpleResultMetaData(names), iter(rows))


async def _under_key(lend: Lend, write: Callable[[AsyncSession], Awaitable[str]], key: Key) -> str:
    """Key, effect and answer in one COMMIT; or the answer that is there."""
    async with lend() as session:
        connection = await session.connection()
        answer = await take(connection, key)
        if answer is not None:
            await session.rollback()
            key.on_replay()
            raise_problem(key, answer)
            return answer
        failure: Exception | None = None
        try:
            with leave_commit_to_us(session):
                async with session.begin_nested():
                    try:
                        answer = await write(session)
                    except Exception as error:
                        failure = error
                        raise
        except Exception as error:  # noqa: BLE001  # raised again, or kept and raised
            # on a lost connection the savepoint's own end fails as well, and would hide why
            cause = failure or error
            refusal = cause if isinstance(cause, ProblemError) else problem_error_of(cause)
            kept = written_problem(key, refusal) if refusal is not None else None
            if refusal is None or kept is None:
                raise cause from None
            await store(connection, key, kept)
            await session.commit()
            raise refusal from cause
        await store(connection, key, answer)
        await session.commit()
        return answer


def _adapter_of(work: Callable[..., Awaitable[Answer]]) -> TypeAdapter[Answer]:
    kind = get_type_hints(work).get("return", Any)
    if kind is Any or getattr(kind, "__table__", None) is not None:
        raise UnstorableAnswerError("a function without a response model as its return annotation")
    try:
        return TypeAdapter(kind)
    except (PydanticSchemaGenerationError, ValidationError):
        raise UnstorableAnswerError(str(kind)) from None
