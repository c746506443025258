"""Databases made for one question and dropped again: what models make, and what a history makes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from secrets import token_hex

from sqlalchemy import MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from neonkit.db import fault_of, make_tables
from neonkit.dsn import Dsn
from neonkit.migrations._catalogue import Catalogue
from neonkit.migrations._catalogue_reading import read_catalogue
from neonkit.migrations._errors import MigrationError
from neonkit.migrations._running import connected

_MAY_NOT = (
    "{user} may not create a database at {host}, which comparing models and revisions needs: give "
    "the role CREATEDB, or leave the URL out, so that the embedded PostgreSQL serves"
)


class MayNotCreateError(MigrationError):
    """A role may not create a database, so that nothing can be compared on its server."""


@asynccontextmanager
async def scratch(dsn: Dsn) -> AsyncIterator[AsyncConnection]:
    """Lend a connection to an empty database, which is dropped after the block.

    Raises:
        MayNotCreateError: the role may not create one.
        MigrationError: the server is away.
    """
    name = f"neonkit_scratch_{token_hex(6)}"
    async with _outside_transaction(dsn) as connection:
        try:
            await connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE template0'))
        except DBAPIError as error:
            fault = fault_of(error)
            if fault is not None and fault.sqlstate == "42501":
                raise MayNotCreateError(_MAY_NOT.format(user=dsn.user, host=dsn.host)) from None
            raise
    try:
        async with connected(dsn.replace(database=name)) as connection:
            yield connection
    finally:
        async with _outside_transaction(dsn) as connection:
            await connection.execute(text(f'DROP DATABASE "{name}" WITH (FORCE)'))


async def catalogue_of_models(dsn: Dsn, metadatas: Sequence[MetaData]) -> Catalogue:
    """What `create_all` makes of models in an empty database.

    Raises:
        MigrationError: they cannot be made; it says why.
    """
    async with scratch(dsn) as connection:
        await connection.run_sync(make_tables, *metadatas)
        return await connection.run_sync(read_catalogue)


@asynccontextmanager
async def _outside_transaction(dsn: Dsn) -> AsyncIterator[AsyncConnection]:
    async with connected(dsn) as connection:
        yield await connection.execution_options(isolation_level="AUTOCOMMIT")
