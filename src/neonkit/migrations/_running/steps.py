"""Running revisions over one connection, which may take its time."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager

from alembic.operations import Operations
from alembic.runtime.migration import MigrationContext, MigrationStep, RevisionStep
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, text
from sqlalchemy.ext.asyncio import AsyncConnection

from neonkit._seams.alembic import steps_back, steps_to
from neonkit.db import PoolPolicy, TimeoutPolicy, create_engine, open_scope
from neonkit.dsn import Dsn
from neonkit.errors import MigrationError
from neonkit.migrations._errors import explained, reason_of

_WEEK = 7 * 86400.0
_TIMEOUTS = TimeoutPolicy(statement=_WEEK, lock=60.0, request=15.0)
_POOL = PoolPolicy(size=1, overflow=0)
_LOCK = 0x6E656F6E_6D696772  # "neonmigr": any number, the same in every process
_PAUSE = 0.25


@asynccontextmanager
async def connected(dsn: Dsn) -> AsyncIterator[AsyncConnection]:
    """Lend a connection that may take its time; no deadline of a request holds inside."""
    engine = create_engine(
        dsn,
        driver="psycopg" if dsn.asyncpg_refusal else "asyncpg",
        pool=_POOL,
        timeouts=_TIMEOUTS,
        application_name="neonkit migrate",
    )
    with open_scope(), explained(f"the database at {dsn.host} cannot be migrated"):
        try:
            async with engine.connect() as connection:
                yield connection
        finally:
            await engine.dispose()


def run_to(connection: Connection, script: ScriptDirectory, head: str) -> tuple[str, ...]:
    """Apply what lacks up to `head`; the connection must not be inside a transaction.

    Raises:
        MigrationError: a revision failed; it says which, and those before it stay.
    """
    return _run(connection, lambda current: steps_to(script, head, current))


def run_back(connection: Connection, script: ScriptDirectory, target: str) -> tuple[str, ...]:
    """Take back what comes after `target`; the connection must not be inside a transaction.

    Raises:
        MigrationError: a revision failed, or the target is not below what the database has.
    """
    return _run(connection, lambda current: steps_back(script, target, current))


def _run(
    connection: Connection, steps: Callable[[tuple[str, ...]], Iterable[RevisionStep]]
) -> tuple[str, ...]:
    begun: list[str] = []

    def plan(current: tuple[str, ...], _context: MigrationContext) -> Iterable[MigrationStep]:
        for step in steps(current):
            begun.append(step.revision.revision)
            yield step

    context = MigrationContext.configure(
        connection,
        opts={"fn": plan, "transaction_per_migration": True},
    )
    try:
        with Operations.context(context):
            context.run_migrations()
    except Exception as error:
        if not begun:
            raise
        raise MigrationError(f"migration {begun[-1]} failed: {reason_of(error)}") from error
    return tuple(begun)


def pending_steps(
    connection: Connection, script: ScriptDirectory, head: str
) -> Sequence[RevisionStep]:
    """The revisions that a database lacks, oldest first."""
    current = current_of(connection)
    connection.rollback()
    return tuple(steps_to(script, head, current))


def current_of(connection: Connection) -> tuple[str, ...]:
    """The revisions that a database is at; several only where its history has several heads."""
    return tuple(MigrationContext.configure(connection).get_current_heads())


async def stamp_at(connection: AsyncConnection, script: ScriptDirectory, target: str) -> None:
    """Have a database count as being at a revision, `head` or `base`."""
    await connection.run_sync(lambda sync: MigrationContext.configure(sync).stamp(script, target))
    await connection.commit()


async def take_lock(connection: AsyncConnection, patience: float = 600.0) -> None:
    """Take the lock of whoever changes tables; PostgreSQL drops it with the session.

    It is asked for again and again rather than waited for: a statement that waits has a snapshot,
    and CREATE INDEX CONCURRENTLY in the process that holds the lock would wait for that.

    Raises:
        MigrationError: another process held it for so many seconds.
    """
    deadline = time.monotonic() + patience
    attempt = text("SELECT pg_try_advisory_lock(:key)")
    while True:
        has_lock = (await connection.execute(attempt, {"key": _LOCK})).scalar_one()
        await connection.commit()
        if has_lock:
            return
        if time.monotonic() >= deadline:
            raise MigrationError(
                f"another process has been migrating this database for {patience:g} s: see what "
                "it waits for in pg_stat_activity, and run this again"
            )
        await asyncio.sleep(_PAUSE)
