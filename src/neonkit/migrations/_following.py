"""Following models that change while somebody develops, before there are revisions."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial

from sqlalchemy import Connection, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from neonkit.db import schemas_of
from neonkit.dsn import Dsn
from neonkit.migrations._catalogue.reading import read_catalogue
from neonkit.migrations._comparison.additions import Additions
from neonkit.migrations._comparison.catalogues import plan_change
from neonkit.migrations._comparison.fills import fills_of
from neonkit.migrations._comparison.renames import possible_renames
from neonkit.migrations._errors import reason_of
from neonkit.migrations._running.scratch import catalogue_of_models
from neonkit.migrations._running.steps import connected, take_lock
from neonkit.migrations._writing.revisions import Metadata, each_of

_MAYBE = (
    "{rename} may only be another name: if it is, say so with `neonkit makemigrations --rename "
    "{rename}`"
)

MakeMissing = Callable[[], Awaitable[None]]


@dataclass(frozen=True)
class Followed:
    """What came of it.

    Attributes:
        made: the statements that were run.
        left: what differs still, one sentence each; each names its table.
    """

    made: tuple[str, ...]
    left: tuple[str, ...]


async def follow(dsn: Dsn, metadata: Metadata, make_missing: MakeMissing | None = None) -> Followed:
    """Add to a database what models say beyond it, and tell what else differs.

    Tables, columns, constraints that hold, indexes, members of enums and comments are added, each
    by itself. Nothing is dropped, renamed or given another type, and tables that no model names are
    left alone.

    Args:
        dsn: the direct URL; the role must be allowed to create a database, where the models' tables
            are made to be compared with.
        metadata: every table of the app.
        make_missing: makes the tables that are missing; without it nothing is added.

    Raises:
        MigrationError: the database is away, the role may not create one, or the models ask for
            what cannot be made.
    """
    metadatas = each_of(metadata)
    models = await catalogue_of_models(dsn, metadatas)
    async with connected(dsn) as connection:
        await take_lock(connection)
        await connection.exec_driver_sql("SET lock_timeout = '2s'")
        await connection.commit()
        read = partial(read_catalogue, schemas=schemas_of(*metadatas))
        before = await connection.run_sync(read)
        fills = await connection.run_sync(fills_of, metadatas)
        made: list[str] = []
        failed: list[str] = []
        if make_missing is not None:
            await connection.rollback()
            await make_missing()
            there = await connection.run_sync(read)
            made += plan_change(before, there).statements
            kept = [name for name in models.tables if name in before.tables]
            with_rows = await connection.run_sync(_having_rows, kept)
            await connection.rollback()
            more = Additions(there, models, with_rows, fills)
            plan = plan_change(there, more.catalogue, fills)
            for statement in (*plan.statements, *more.rules()):
                reason = await _try(connection, statement)
                (failed if reason else made).append(reason or statement)
            before = await connection.run_sync(read)
        target = models.keeping(before, tables=True)
        rest = plan_change(before, target, fills)
        renames = [_MAYBE.format(rename=each) for each in possible_renames(before, target)]
        return Followed(tuple(made), (*rest.words, *rest.warnings, *failed, *renames))


def _having_rows(connection: Connection, tables: Sequence[str]) -> list[str]:
    def ask() -> Iterator[str]:
        for name in tables:
            found = text(f"SELECT EXISTS (SELECT FROM {name})")  # nosec B608 # noqa: S608  # as the catalogue writes it
            if connection.scalar(found):
                yield name

    return [*ask()]


async def _try(connection: AsyncConnection, statement: str) -> str:
    """Run a statement by itself; what it raises is returned, in words."""
    try:
        await connection.exec_driver_sql(statement)
        await connection.commit()
    except DBAPIError as error:
        await connection.rollback()
        return f"{statement}: {reason_of(error)}"
    return ""
