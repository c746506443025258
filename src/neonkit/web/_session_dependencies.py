"""Sessions and the database, as dependencies."""

from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends
from starlette.requests import HTTPConnection

from neonkit.db import AsyncSession, Database
from neonkit.web._runtime import Runtime


async def get_database(connection: HTTPConnection) -> Database:
    """The app's database; override it in tests to use another."""
    return Runtime.of(connection).require_database()


DatabaseDep = Annotated[Database, Depends(get_database)]


async def get_session(database: DatabaseDep) -> AsyncIterator[AsyncSession]:
    """Lend a session for the request; the handler commits.

    It ends before the first byte of the answer: work that was not committed is rolled back and
    the request fails with `UncommittedError`.
    """
    async with database.session() as session:
        yield session


async def get_read_session(database: DatabaseDep) -> AsyncIterator[AsyncSession]:
    """Lend a session that only reads."""
    async with database.read_session() as session:
        yield session


SessionDep = Annotated[AsyncSession, Depends(get_session, scope="function")]
ReadSessionDep = Annotated[AsyncSession, Depends(get_read_session, scope="function")]
