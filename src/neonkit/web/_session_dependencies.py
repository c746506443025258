"""Sessions and the database, as dependencies."""

from contextlib import AbstractAsyncContextManager
from functools import partial
from types import TracebackType
from typing import Annotated

from fastapi import Depends
from fastapi.exceptions import ResponseValidationError
from starlette.requests import HTTPConnection

from neonkit._seams.fastapi import function_stack_of
from neonkit.db import AsyncSession, Database
from neonkit.errors import ConfigurationError
from neonkit.web._runtime import Runtime

_NO_ROUTE = (
    "a session can only be lent to a route that FastAPI solves; elsewhere take one of the "
    "database's own: `async with database.session() as session:`"
)


async def get_database(connection: HTTPConnection) -> Database:
    """The app's database; override it in tests to use another."""
    return Runtime.of(connection).require_database()


DatabaseDep = Annotated[Database, Depends(get_database)]


async def get_session(connection: HTTPConnection, database: DatabaseDep) -> AsyncSession:
    """Lend a session for the request; the handler commits.

    It ends before the first byte of the answer, whatever scope a dependency asks for: work that was
    not committed is rolled back and the request fails with `UncommittedError`.
    """
    return await _lend(connection, database.session())


async def get_read_session(connection: HTTPConnection, database: DatabaseDep) -> AsyncSession:
    """Lend a session that only reads."""
    return await _lend(connection, database.read_session())


SessionDep = Annotated[AsyncSession, Depends(get_session)]
ReadSessionDep = Annotated[AsyncSession, Depends(get_read_session)]


async def _lend(
    connection: HTTPConnection, lent: AbstractAsyncContextManager[AsyncSession]
) -> AsyncSession:
    # on the stack of the request's function, which ends before the answer leaves: a dependency with
    # `yield` would do the same, and costs a third more
    stack = function_stack_of(connection.scope)
    if stack is None:
        raise ConfigurationError(_NO_ROUTE)
    session = await lent.__aenter__()
    stack.push_async_exit(partial(_end, lent))
    return session


async def _end(
    lent: AbstractAsyncContextManager[AsyncSession],
    kind: type[BaseException] | None,
    error: BaseException | None,
    traceback: TracebackType | None,
) -> None:
    """End a session; work that nobody committed is told in place of an answer that it spoiled.

    An object that was not flushed has no id, so its response model fails before the session ends.
    """
    if isinstance(error, ResponseValidationError):
        kind = error = traceback = None
    await lent.__aexit__(kind, error, traceback)
