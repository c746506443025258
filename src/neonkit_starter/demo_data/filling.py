"""Rows into the database through COPY, in one transaction: all of them or none."""

from collections.abc import AsyncIterator, Iterable, Iterator, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager
from typing import Any

from rich.progress import Progress
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

from neonkit import create_engine
from neonkit.auth import hash_password
from neonkit.db import FaultKind, PoolPolicy, TimeoutPolicy, fault_of, open_scope
from neonkit.dsn import Dsn
from neonkit.errors import NeonkitError
from neonkit_starter.demo_data.rows import (
    DOMAIN,
    PASSWORD,
    POST_COLUMNS,
    USER_COLUMNS,
    Plan,
    Row,
    post_rows,
    user_rows,
)

_TIMEOUTS = TimeoutPolicy(statement=7 * 86400.0)
_POOL = PoolPolicy(size=1, overflow=0)
_LOCK = text("SELECT pg_try_advisory_xact_lock(hashtext('neonkit_starter.demo_data'))")
_HAS_PEOPLE = text(f"SELECT EXISTS (SELECT FROM users WHERE email LIKE '%@{DOMAIN}')")  # nosec B608 # noqa: S608  # a constant
_LARGER_STEPS = text("""
SELECT set_config('gin_pending_list_limit', '64MB', true), set_config('work_mem', '64MB', true)
""")
_IDS = text("SELECT nextval(pg_get_serial_sequence('users', 'id')) FROM generate_series(1, :count)")
_TIDY = text("VACUUM (ANALYZE) users, posts")  # also sorts the search index's new entries in

_TWICE = (
    "there are demo users in this database already: nothing was changed. To begin again, give "
    "NEON_DATABASE_URL of an empty database; or, where it is the embedded one, end the service and "
    "delete .neonkit/postgres"
)
_TAKEN = (
    "somebody in this database has the name or the address of a demo user: nothing was changed. "
    "Another --seed gives other names"
)
_BUSY = "another process is filling this database: nothing was changed. Wait for it to end"
_NO_TABLES = "this database has no tables of the starter's: run `neonkit migrate`"
_UNDEFINED_TABLE = "42P01"
_UNCHANGED = "nothing was changed. Run it again"
_UNTIDY = "the rows are there, but the planner does not know them: run VACUUM ANALYZE"


class DemoDataError(NeonkitError):
    """The database could not be filled; the message says why, and how it was left."""


async def fill(dsn: Dsn, plan: Plan, progress: Progress) -> None:
    """Fill a migrated database, and have the planner look at it.

    It may serve requests meanwhile, which see nothing before the end. Memory does not grow with
    the number of posts.

    Args:
        dsn: where to.
        plan: what to make.
        progress: shows how far it is.

    Raises:
        DemoDataError: there are demo users already, a name is taken, or the database failed.
    """
    hashed = await hash_password(PASSWORD)
    async with _engine_of(dsn) as engine:
        with ExitStack() as stack:
            with _explained(_UNCHANGED):
                async with engine.begin() as connection:
                    await _refuse_seconds(connection)
                    stack.enter_context(progress)
                    await _copy_all(connection, plan, hashed, progress)
            progress.add_task("statistics", total=None)
            with _explained(_UNTIDY):
                await _tidy(engine)


@asynccontextmanager
async def _engine_of(dsn: Dsn) -> AsyncIterator[AsyncEngine]:
    engine = create_engine(dsn, pool=_POOL, timeouts=_TIMEOUTS, application_name="demo_data")
    with open_scope():
        try:
            yield engine
        finally:
            await engine.dispose()


async def _refuse_seconds(connection: AsyncConnection) -> None:
    """Raise where this has been done before, or is being done."""
    if not await connection.scalar(_LOCK):
        raise DemoDataError(_BUSY)
    if await connection.scalar(_HAS_PEOPLE):
        raise DemoDataError(_TWICE)


async def _copy_all(
    connection: AsyncConnection, plan: Plan, hashed: str, progress: Progress
) -> None:
    await connection.execute(_LARGER_STEPS)
    ids = (await connection.scalars(_IDS, {"count": plan.users})).all()
    users = progress.track(user_rows(plan, ids, hashed), plan.users, description="users")
    posts = progress.track(post_rows(plan, ids), plan.posts, description="posts")
    await _copy(connection, "users", USER_COLUMNS, users)
    await _copy(connection, "posts", POST_COLUMNS, posts)


async def _copy(
    connection: AsyncConnection, table: str, columns: Sequence[str], rows: Iterable[Row]
) -> None:
    """Send rows as they are made, inside of the connection's transaction."""
    pooled = await connection.get_raw_connection()
    driver: Any = pooled.driver_connection  # the driver's own: SQLAlchemy has no COPY
    await driver.copy_records_to_table(table, records=rows, columns=columns)


async def _tidy(engine: AsyncEngine) -> None:
    async with engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(_TIDY)


@contextmanager
def _explained(outcome: str) -> Iterator[None]:
    """Say in one line what the database or the network raises, and what that means."""
    try:
        yield
    except Exception as error:
        fault = fault_of(error)
        if fault is None:
            raise
        said = f"the database failed ({fault.kind.value}): {outcome}"
        if fault.kind is FaultKind.DUPLICATE:
            said = _TAKEN
        if fault.sqlstate == _UNDEFINED_TABLE:
            said = _NO_TABLES
        raise DemoDataError(said) from error
