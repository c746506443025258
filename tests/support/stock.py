"""SQLModel's own session on SQLAlchemy's own engine: what ours is held against."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg
import psycopg
from sqlalchemy import event
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine, async_sessionmaker, create_async_engine
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database
from neonkit.db._wire.dialect import NeonDialect


@asynccontextmanager
async def stock_engine(like: Database) -> AsyncIterator[AsyncEngine]:
    """An engine of SQLAlchemy's for the database that `like` has, on the same driver."""
    dialect = like.engine.dialect
    assert isinstance(dialect, NeonDialect)
    dsn = dialect.connector.dsn

    async def connect() -> Any:  # noqa: ANN401  # the driver's own
        if dialect.driver == "asyncpg":
            return await asyncpg.connect(**dsn.for_asyncpg())
        arguments: dict[str, Any] = dsn.for_psycopg()
        return await psycopg.AsyncConnection.connect(**arguments)

    engine = create_async_engine(f"postgresql+{dialect.driver}://", async_creator=connect)
    try:
        yield engine
    finally:
        await engine.dispose()


def stock_sessions(engine: AsyncEngine) -> async_sessionmaker[AsyncSession]:
    """Sessions as SQLModel's documentation makes them."""
    return async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)


async def run_script(engine: AsyncEngine, script: str) -> None:
    """Run several statements in one trip and one transaction."""
    async with engine.connect() as connection:
        driver: Any = (await connection.get_raw_connection()).driver_connection
        async with asyncio.timeout(10):
            await driver.execute(script)
            if isinstance(driver, psycopg.AsyncConnection):
                await driver.commit()


def kind_of(error: Exception) -> tuple[str, str | None]:
    """An error's class and, where PostgreSQL raised it, its SQLSTATE."""
    state = getattr(error.orig, "sqlstate", None) if isinstance(error, DBAPIError) else None
    return type(error).__name__, state


@contextmanager
def listening(target: Any, name: str, listener: Any) -> Iterator[None]:  # noqa: ANN401  # SQLAlchemy's
    """Listen to an event for the block."""
    event.listen(target, name, listener)
    try:
        yield
    finally:
        event.remove(target, name, listener)
