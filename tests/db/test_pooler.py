"""Behind a real PgBouncer in transaction mode, with and without tracking of statements."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from typing import get_args

import asyncpg
import pytest
from sqlalchemy import Enum, cast, literal, text
from sqlmodel import select

from neonkit import Database, create_engine
from neonkit.db import Driver, PoolPolicy, open_scope
from support.poolers import BACKENDS, Road, pooled_road
from support.work import ROWS, create

pytestmark = pytest.mark.real_commits

UNTRACKED = {
    "read": 2,
    "list": 2,
    "create": 2,
    "read, change, commit": 4,
    "read, delete, commit": 4,
    "two statements and commit": 6,
    "update and commit": 4,
    "delete and commit": 4,
    "many rows and commit": 4,
    "a lock and rollback": 4,
    "stream": 5,
    "db.execute": 2,
    "db.execute under a key": 2,
    "page with total": 2,
    "page with an estimate": 4,
    "page with an estimate and rollback": 6,
}
CLEAN = """
SELECT current_setting('lock_timeout'), current_setting('statement_timeout'),
  current_setting('transaction_isolation'), current_setting('transaction_read_only'),
  current_setting('jit'), current_setting('search_path'), current_setting('role'),
  (SELECT count(*) FROM pg_locks WHERE locktype = 'advisory'),
  (SELECT count(*) FROM pg_prepared_statements WHERE NOT starts_with(name, 'PGBOUNCER_'))
"""


@pytest.fixture
async def tracking(db: Database) -> AsyncIterator[Road]:
    """A pooler that keeps prepared statements, as Neon's does."""
    async with pooled_road(db, tracked_statements=1000) as road:
        yield road


@pytest.fixture
async def forgetful(db: Database) -> AsyncIterator[Road]:
    """A pooler that knows nothing of prepared statements."""
    async with pooled_road(db, tracked_statements=0) as road:
        yield road


async def _open_backends(road: Road) -> None:
    """Have every backend of the pooler open, so that transactions take turns on all of them."""
    keywords = road.wire.dsn.for_asyncpg()
    async with AsyncExitStack() as stack:
        for _ in range(BACKENDS):
            connection = await asyncpg.connect(**keywords, statement_cache_size=0)
            stack.push_async_callback(connection.close)
            await stack.enter_async_context(connection.transaction())


async def _on_each_backend(road: Road) -> set[tuple[object, ...]]:
    """What a client finds that comes next, on each of the backends."""
    connection = await asyncpg.connect(**road.wire.dsn.for_asyncpg(), statement_cache_size=0)
    found: dict[int, tuple[object, ...]] = {}
    for _ in range(3 * BACKENDS):
        async with connection.transaction():
            row = tuple(await connection.fetchrow(CLEAN))
            found[await connection.fetchval("SELECT pg_backend_pid()")] = row
    await connection.close()
    assert len(found) == BACKENDS
    return set(found.values())


async def _costs(road: Road, row: str, driver: Driver, *, is_tracking: bool) -> int:
    """Round trips of a row of the table, once its statements have been everywhere."""
    engine = create_engine(road.wire.dsn, driver=driver, pooler_tracks_statements=is_tracking)
    work = ROWS[row].work
    async with Database(engine) as db:
        await _open_backends(road)
        for _ in range(BACKENDS + 1):
            await create(db)
        for _ in range(BACKENDS):
            await work(db)
        with open_scope() as scope, road.wire.counting() as trips:
            await work(db)
    assert scope.trips == trips.count, str(trips)
    return trips.count


@pytest.mark.parametrize("driver", get_args(Driver))
@pytest.mark.parametrize("row", ROWS)
async def test_a_tracking_pooler_costs_nothing(tracking: Road, row: str, driver: Driver) -> None:
    """Told that the pooler tracks, each unit of work costs what it costs without one."""
    assert await _costs(tracking, row, driver, is_tracking=True) == ROWS[row].cost(driver)


@pytest.mark.parametrize("row", ROWS)
async def test_another_pooler_costs_asyncpg_one_trip_per_statement(
    forgetful: Road, row: str
) -> None:
    """Without tracking each statement is prepared each time, and BEGIN and COMMIT are not."""
    assert await _costs(forgetful, row, "asyncpg", is_tracking=False) == UNTRACKED[row]


@pytest.mark.parametrize("row", ROWS)
async def test_another_pooler_costs_psycopg_nothing(forgetful: Road, row: str) -> None:
    """Without tracking nothing is prepared, and each statement is in one flight all the same."""
    found = await _costs(forgetful, row, "psycopg", is_tracking=False)
    assert found == ROWS[row].psycopg


async def test_it_finds_out_by_itself(tracking: Road, forgetful: Road) -> None:
    """`auto` keeps statements where no pooler is in between, and nowhere else unasked."""
    for dsn, is_behind in (
        (tracking.direct, False),
        (tracking.wire.dsn, True),
        (forgetful.wire.dsn, True),
    ):
        async with Database(create_engine(dsn)) as other:
            await create(other)
            connector = other.engine.dialect.connector  # type: ignore[attr-defined]  # ours
            assert connector.facts.is_behind_pooler is is_behind
            assert connector.tracks_statements is not is_behind


async def _ask(db: Database, number: int) -> int:
    """One of ten statements, each with a type of answer of its own."""
    async with db.session() as session:
        name, word = f"n{number % 10}", "x" * (number % 10)
        row = (await session.exec(select(literal(number).label(name), literal(word)))).one()
        assert row[1] == word
        return row[0]


async def test_many_at_once_are_all_right(forgetful: Road) -> None:
    """From two processes' pools at once, every answer is the one that was asked for."""
    async with AsyncExitStack() as stack:
        pools = [
            await stack.enter_async_context(Database(create_engine(forgetful.wire.dsn)))
            for _ in range(2)
        ]
        await asyncio.gather(*(create(db) for db in pools))
        await _open_backends(forgetful)
        numbers = range(400)
        answers = await asyncio.gather(*(_ask(pools[n % 2], n) for n in numbers))
        assert answers == list(numbers)
        await asyncio.gather(*(_run_all(pool) for pool in pools for _ in range(5)))


async def _run_all(db: Database) -> None:
    """Every unit of work that does not want the same row as another one's."""
    for name, row in ROWS.items():
        if not name.startswith("read, "):
            await row.work(db)


async def test_a_pooler_that_forgets_is_seen_to(forgetful: Road) -> None:
    """Statements that are kept in spite of the pooler go wrong, which only their repeats hide."""
    engine = create_engine(
        forgetful.wire.dsn, pooler_tracks_statements=True, pool=PoolPolicy(size=1, overflow=0)
    )
    async with Database(engine) as db:
        await _open_backends(forgetful)
        db.health.witness = _Repeats()
        for _ in range(6):  # prepared on one backend, and soon to be run on another
            await create(db)
        assert set(db.health.witness.reasons) == {"stale-plan"}


class _Repeats:
    """Keeps why something was sent again."""

    def __init__(self) -> None:
        self.reasons: list[str] = []

    def count_wakeup(self, seconds: float) -> None:
        """Nothing sleeps here."""

    def count_wait(self, stage: str, seconds: float) -> None:
        """Nobody waits here."""

    def count_retry(self, reason: str) -> None:
        """Keep it."""
        self.reasons.append(reason)


@pytest.mark.parametrize("tracked", [1000, 0])
async def test_nothing_is_left_for_the_next_client(db: Database, tracked: int) -> None:
    """No setting, lock, or statement of one client is found by who comes next."""
    async with pooled_road(db, tracked_statements=tracked) as road:
        await _open_backends(road)
        before = await _on_each_backend(road)
        assert len(before) == 1
        is_tracking = tracked > 0
        engine = create_engine(road.wire.dsn, pooler_tracks_statements=is_tracking)
        async with Database(engine) as pooled:
            await create(pooled)
            await asyncio.gather(*(_run_all(pooled) for _ in range(2 * BACKENDS)))
            for row in ("read, change, commit", "read, delete, commit"):
                await ROWS[row].work(pooled)
            await _use_settings_and_types(pooled)
        assert await _on_each_backend(road) == before


async def _use_settings_and_types(db: Database) -> None:
    async with db.session() as session:
        await (await session.connection()).execute(text("CREATE TYPE weather AS ENUM ('calm')"))
        await session.commit()
    weather = Enum("calm", name="weather")
    async with db.session() as session:  # asyncpg asks what it is, and turns `jit` off for that
        assert (await session.exec(select(cast(literal("calm"), weather)))).one() == "calm"
    async with db.read_session() as session:
        await (await session.connection()).execute(text("SELECT 1"))
    async with db.session() as session:
        connection = await session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
        await connection.execute(text("SELECT 1"))
        await session.rollback()
