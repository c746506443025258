"""In-memory SQLite, for models that need nothing of PostgreSQL."""

import re
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from typing import Any

from sqlalchemy import StaticPool, Table, event
from sqlalchemy.dialects import sqlite
from sqlalchemy.engine import ExceptionContext
from sqlalchemy.exc import CompileError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.schema import CreateTable
from sqlmodel import SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit.errors import ConfigurationError

_REFUSED = re.compile(
    r"no such (?:table|function|collation sequence): (\S+)|near (\S+): syntax error"
)


@asynccontextmanager
async def sqlite_session() -> AsyncIterator[AsyncSession]:
    """Lend a session on an empty database in memory, with every table that SQLite can hold.

    Foreign keys are enforced. Tables and statements that need PostgreSQL are refused with the name
    of what SQLite does not have.
    """
    engine = create_async_engine("sqlite+aiosqlite://", poolclass=StaticPool)
    refused = _refused_tables()
    _enforce_foreign_keys(engine)
    _name_what_is_missing(engine, refused)
    try:
        async with engine.begin() as connection:
            tables = [
                table for name, table in SQLModel.metadata.tables.items() if name not in refused
            ]
            await connection.run_sync(SQLModel.metadata.create_all, tables=tables)
        async with AsyncSession(engine, expire_on_commit=False) as session:
            yield session
    finally:
        await engine.dispose()


def _refused_tables() -> dict[str, str]:
    found = {}
    for name, table in SQLModel.metadata.tables.items():
        feature = _needs_postgres(table)
        if feature is not None:
            found[name] = feature
    return found


def _needs_postgres(table: Table) -> str | None:
    if table.schema is not None:
        return f"the schema {table.schema}"
    for column in table.columns:
        try:
            column.type.compile(dialect=sqlite.dialect())
        except CompileError:
            return f"the type {type(column.type).__name__} of column {column.name}"
    try:
        definition = str(CreateTable(table).compile(dialect=sqlite.dialect()))
        with closing(sqlite3.connect(":memory:")) as scratch:
            scratch.execute(definition)
    except CompileError:
        return "its definition"
    except sqlite3.OperationalError as error:
        found = _REFUSED.search(str(error))
        return _missing(found) if found else "its definition"
    return None


def _enforce_foreign_keys(engine: AsyncEngine) -> None:
    @event.listens_for(engine.sync_engine, "connect")
    def switch_on(connection: Any, _record: object) -> None:  # noqa: ANN401  # the driver's own
        connection.cursor().execute("PRAGMA foreign_keys = ON")


def _name_what_is_missing(engine: AsyncEngine, refused: dict[str, str]) -> None:
    @event.listens_for(engine.sync_engine, "handle_error")
    def explain(context: ExceptionContext) -> None:
        found = _REFUSED.search(str(context.original_exception))
        if found is None:
            return
        missing = _missing(found)
        feature = refused.get(missing, missing)
        raise ConfigurationError(
            f"SQLite does not have {feature}: use the fixture `session`, which is PostgreSQL"
        ) from context.original_exception


def _missing(refused: re.Match[str]) -> str:
    return str(refused[1] or refused[2]).strip("\"'")
