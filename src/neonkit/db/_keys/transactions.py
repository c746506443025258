"""Units of work that are a function of a session, and that happen once under a key."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any, TypeVar, get_type_hints

from pydantic import PydanticSchemaGenerationError, TypeAdapter, ValidationError
from pydantic_core import PydanticSerializationError

from neonkit.db._faults.classification import problem_error_of
from neonkit.db._keys.answers import StoredAnswer, UnstorableAnswerError
from neonkit.db._keys.keys import Key, store, take
from neonkit.db._units.sessions import AsyncSession
from neonkit.errors import ProblemError

Answer = TypeVar("Answer")
Lend = Callable[[], AbstractAsyncContextManager[AsyncSession]]


async def run_unit(lend: Lend, work: Callable[[AsyncSession], Awaitable[Answer]]) -> Answer:
    """Run a function of a session, and commit."""
    async with lend() as session:
        with session.sync_session.leave_commit_to_us():
            made = await work(session)
        await session.commit()
        return made


async def run_keyed_unit(
    lend: Lend, work: Callable[[AsyncSession], Awaitable[Answer]], key: Key
) -> Answer:
    """Run a function of a session under a key, and commit; or give the answer that is there."""
    adapter = _adapter_of(work)

    async def write(session: AsyncSession) -> StoredAnswer:
        made = await work(session)
        await session.flush()
        try:
            return StoredAnswer.of_model(adapter.dump_python(made, mode="json"))
        except PydanticSerializationError:
            raise UnstorableAnswerError(type(made).__name__) from None

    answer = await under_key(lend, write, key)
    return adapter.validate_python(answer.model())


async def under_key(
    lend: Lend, write: Callable[[AsyncSession], Awaitable[StoredAnswer]], key: Key
) -> StoredAnswer:
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
            key.replay(answer)
            return answer
        failure: Exception | None = None
        try:
            with session.sync_session.leave_commit_to_us():
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
            kept = key.refusal(refusal) if refusal is not None else None
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
