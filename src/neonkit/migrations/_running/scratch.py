"""Databases made for one question and dropped again: what models make, and what a history makes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from secrets import token_hex

from sqlalchemy import MetaData, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from neonkit.db import fault_of, make_tables
from neonkit.dsn import Dsn
from neonkit.errors import MigrationError
from neonkit.migrations._catalogue.catalogue import Catalogue
from neonkit.migrations._catalogue.reading import read_catalogue
from neonkit.migrations._running.steps import connected

_REFUSALS = {
    "42501": "{user} may not create a database at {host}, which comparing models and revisions "
    "needs: give the role CREATEDB, or leave the URL out, so that the embedded PostgreSQL serves",
    "55006": "the database {template} cannot be copied while somebody is connected to it: stop the "
    "app, or give the URL of a copy with --on",
}


@asynccontextmanager
async def scratch(dsn: Dsn) -> AsyncIterator[AsyncConnection]:
    """Lend a connection to an empty database, which is dropped after the block.

    Raises:
        MigrationError: the role may not create one, or the server is away.
    """
    async with made_from("template0", dsn) as made, connected(made) as connection:
        yield connection


@asynccontextmanager
async def made_from(template: str, dsn: Dsn) -> AsyncIterator[Dsn]:
    """Make a database like another one, and drop it after the block.

    Args:
        template: its name; nobody may be connected to it.
        dsn: a database of the same server, to do it from.

    Raises:
        MigrationError: the role may not create one, the template is in use, or the server is away.
    """
    name = f"neonkit_scratch_{token_hex(6)}"
    async with _outside_transaction(dsn) as connection:
        try:
            await connection.execute(text(f'CREATE DATABASE "{name}" TEMPLATE "{template}"'))
        except DBAPIError as error:
            fault = fault_of(error)
            refusal = _REFUSALS.get(fault.sqlstate or "") if fault else None
            if refusal is None:
                raise
            told = refusal.format(user=dsn.user, host=dsn.host, template=template)
            raise MigrationError(told) from None
    try:
        yield dsn.replace(database=name)
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
