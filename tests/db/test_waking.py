"""A database that wakes up: nobody is refused, nobody loses their place, and nothing storms it."""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.exc import TimeoutError as PoolTimeout

from neonkit.db import Database, Driver, PoolPolicy, Stage, create_engine, fault_of, open_scope
from neonkit.errors import OverloadedError
from neonkit.local import Refusal, WireProxy

pytestmark = pytest.mark.both_drivers


class Counts:
    """What the database tells its witness."""

    def __init__(self) -> None:
        self.wakeups: list[float] = []
        self.waits: Counter[Stage] = Counter()
        self.retries: Counter[str] = Counter()

    def count_wakeup(self, seconds: float) -> None:
        """Keep it."""
        self.wakeups.append(seconds)

    def count_wait(self, stage: Stage, seconds: float) -> None:
        """Keep it."""
        assert seconds >= 0
        self.waits[stage] += 1

    def count_retry(self, reason: str) -> None:
        """Keep it."""
        self.retries[reason] += 1


@asynccontextmanager
async def _small(neon: WireProxy, driver: Driver) -> AsyncIterator[tuple[Database, Counts]]:
    """A database with two slots and a short patience with a busy pool, connected once."""
    pool = PoolPolicy(size=2, overflow=0, timeout=2)
    async with Database(create_engine(neon.url, driver=driver, pool=pool)) as database:
        await _ask(database)
        counts = Counts()
        database.watch(counts)
        yield database, counts


async def _ask(database: Database, seconds: float = 10, statement: str = "SELECT 1") -> object:
    with open_scope(seconds):
        return (await database.execute(text(statement))).scalar()


async def test_everybody_who_waited_is_served_in_turn(
    neon: WireProxy, database_driver: Driver
) -> None:
    """More wait for it than a busy pool admits, longer than one is waited for; none is refused.

    The herd opens as many connections as the pool has slots.
    """
    async with _small(neon, database_driver) as (database, counts):
        served: list[int] = []

        async def ask(number: int) -> None:
            await _ask(database)
            served.append(number)

        neon.suspend(wake_seconds=2.3)
        await asyncio.sleep(0.05)
        before = neon.arrivals
        async with asyncio.TaskGroup() as group:
            for number in range(90):
                group.create_task(ask(number))
        assert sorted(served) == list(range(90))
        # two at a time in turn end as two rows that each rise: nowhere do three fall
        falls: list[int] = []
        for place, number in enumerate(served):
            longer = [falls[i] for i in range(place) if served[i] > number]
            falls.append(1 + max(longer, default=0))
        assert max(falls) <= 2
        assert neon.arrivals - before == 2
        assert len(counts.wakeups) == 1
        assert counts.waits == {"queue": 88, "connect": 2}


async def test_those_who_waited_leave_room_for_others(
    neon: WireProxy, database_driver: Driver
) -> None:
    """Once it is back, only who comes from then on counts for the bound of a busy pool."""
    async with _small(neon, database_driver) as (database, _):
        neon.suspend(wake_seconds=0.6)
        await asyncio.sleep(0.05)
        slow = "SELECT pg_sleep(0.002)"
        waiting = [asyncio.create_task(_ask(database, statement=slow)) for _ in range(100)]
        while database.pool_use.waiting in {0, 98}:  # noqa: ASYNC110  # the pool does not tell
            await asyncio.sleep(0.005)
        late = [asyncio.create_task(_ask(database)) for _ in range(40)]
        await asyncio.sleep(0)
        assert database.pool_use.waiting > 40
        with pytest.raises(OverloadedError):
            await _ask(database)
        await asyncio.gather(*waiting, *late)


async def test_a_request_whose_time_is_up_leaves_its_attempt_to_the_next(
    neon: WireProxy, database_driver: Driver
) -> None:
    """A wake-up that outlasts many requests costs one connection for each slot, all of it used."""
    async with _small(neon, database_driver) as (database, _):
        neon.suspend(wake_seconds=1.2)
        await asyncio.sleep(0.05)
        before = neon.arrivals
        for _ in range(5):
            waiting = (_ask(database, seconds=0.15) for _ in range(20))
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            assert {type(each) for each in outcomes} == {TimeoutError}
            assert database.health.is_failing
        assert database.pool_use.checked_out == 0
        assert await asyncio.gather(*(_ask(database) for _ in range(20))) == [1] * 20
        assert neon.arrivals - before == 2


async def test_an_outage_is_two_lines(
    neon: WireProxy, database_driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    """One when it begins and one when it ends, with its length; one attempt at a time meanwhile."""
    caplog.set_level(logging.INFO, "neonkit")
    async with _small(neon, database_driver) as (database, counts):
        neon.cut()
        await asyncio.sleep(0.05)
        neon.refuse(Refusal.UNREACHABLE)
        before = neon.arrivals
        waiting = [asyncio.create_task(_ask(database)) for _ in range(30)]
        await asyncio.sleep(1.2)
        neon.admit()
        assert await asyncio.gather(*waiting) == [1] * 30
        assert neon.arrivals - before < 40
        assert counts.retries.keys() == {"unavailable"}
        assert len(counts.wakeups) == 1
    began, ended = (record.getMessage() for record in caplog.records)
    assert began.startswith("the database is away (unavailable)")
    assert ended.startswith("the database is back after 1.")


@pytest.mark.parametrize(
    ("refusal", "word"),
    [
        (Refusal.COMPUTE_TIME_QUOTA, "exceeded the compute time"),
        (Refusal.DISABLED, "endpoint is disabled"),
        ("password authentication failed for user 'ada'", "password authentication failed"),
        ('database "shop" does not exist', "does not exist"),
    ],
)
async def test_a_refusal_for_good_fails_at_once(
    neon: WireProxy,
    database_driver: Driver,
    caplog: pytest.LogCaptureFixture,
    refusal: str,
    word: str,
) -> None:
    """One line says what an operator has to mend; it is asked once a second until that is done."""
    caplog.set_level(logging.INFO, "neonkit")
    async with _small(neon, database_driver) as (database, _):
        neon.cut()
        await asyncio.sleep(0.05)
        neon.refuse(refusal)
        before, began = neon.arrivals, time.monotonic()
        for _ in range(5):
            waiting = (_ask(database) for _ in range(20))
            outcomes = await asyncio.gather(*waiting, return_exceptions=True)
            for outcome in outcomes:
                assert isinstance(outcome, Exception)
                fault = fault_of(outcome)
                assert fault is not None
                assert not fault.is_transient
            await asyncio.sleep(0.05)
        took = time.monotonic() - began
        assert took < 3
        assert neon.arrivals - before <= 2 + took
        neon.admit()
        await asyncio.sleep(1.05)
        assert await _ask(database) == 1
    said, ended = (record.getMessage() for record in caplog.records)
    assert word in said
    assert "`neonkit doctor`" in said
    assert not {"ada", "shop"} & set(said.replace("'", " ").replace('"', " ").split())
    assert ended.startswith("the database is back")


async def test_who_leaves_the_line_keeps_nobody_from_their_turn(
    neon: WireProxy, database_driver: Driver
) -> None:
    """A waiter that is cancelled in the moment of its turn hands the slot on."""
    async with _small(neon, database_driver) as (database, _):
        holders = [
            asyncio.create_task(_ask(database, statement="SELECT pg_sleep(0.3)")) for _ in range(2)
        ]
        await asyncio.sleep(0.1)
        waiting = [asyncio.create_task(_ask(database)) for _ in range(30)]
        await asyncio.sleep(0)
        for task in waiting[::2]:
            task.cancel()
        for holder in holders:
            holder.add_done_callback(lambda _: [task.cancel() for task in waiting[1:20]])
        outcomes = await asyncio.gather(*holders, *waiting, return_exceptions=True)
        assert all(outcome == 1 for outcome in outcomes[23::2])
        assert database.pool_use.checked_out == 0
        assert await asyncio.gather(*(_ask(database) for _ in range(10))) == [1] * 10


async def test_a_busy_pool_is_not_waited_for_beyond_its_time(
    neon: WireProxy, database_driver: Driver
) -> None:
    """The clock of a wait that began while the database was there is not turned back."""
    async with _small(neon, database_driver) as (database, _):
        holders = [
            asyncio.create_task(_ask(database, statement="SELECT pg_sleep(4)")) for _ in range(2)
        ]
        await asyncio.sleep(0.1)
        began = time.monotonic()
        with pytest.raises(PoolTimeout):
            await _ask(database)
        assert time.monotonic() - began < 3.5
        await asyncio.gather(*holders)
