"""Units of work that may be run again, and that happen once under a key."""

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar, get_type_hints

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit.db._faults import fault_of, problem_error_of
from neonkit.db._keys import (
    Key,
    UnstorableAnswerError,
    raise_problem,
    store,
    take,
    written_problem,
)
from neonkit.db._scope import current_scope
from neonkit.db._sessions import leave_commit_to_us
from neonkit.db._sqlstates import FaultKind
from neonkit.errors import ProblemError

Answer = TypeVar("Answer")
Lend = Callable[[], AbstractAsyncContextManager[AsyncSession]]

CONTENTION = {FaultKind.SERIALIZATION, FaultKind.DEADLOCK, FaultKind.LOCK_TIMEOUT}
"""What may go well the next time."""

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
                or fault.kind not in CONTENTION
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

    answer = await under_key(lend, write, key)
    return adapter.validate_python(json.loads(answer)["value"])


async def under_key(lend: Lend, write: Callable[[AsyncSession], Awaitable[str]], key: Key) -> str:
    """Take key, effect and answer into one COMMIT; or give the answer that is there.

    Args:
        lend: lends a session.
        write: has the effect, and gives the answer.
        key: under which that happens once.
    """
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
