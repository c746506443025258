"""A database that scales to zero is let sleep by whoever asks for its health, and told of truly."""

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from neonkit.db import Database, Driver, create_engine, open_scope
from neonkit.errors import OutcomeUnknownError
from neonkit.health import Readiness
from neonkit.local import Refusal, WireProxy

pytestmark = pytest.mark.both_drivers


class Clock:
    """A clock that moves when it is told to."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        """Tell the time."""
        return self.now


async def _use(database: Database, seconds: float = 10) -> None:
    with open_scope(seconds):
        await database.execute(text("SELECT 1"))


async def test_an_hour_of_probes(neon: WireProxy, database_driver: Driver) -> None:
    """3,600 send nothing and connect to nothing; from the first failed use on it is not ready.

    Then each second one attempt is made to connect, until one succeeds.
    """
    clock = Clock()
    engine = create_engine(neon.url, driver=database_driver)
    async with Database(engine) as database:
        database.health.clock = clock
        readiness = Readiness(database.probe, database.health, is_passive=True, clock=clock)
        await _use(database)
        assert await readiness.is_ready()
        clock.now += 10
        arrived = neon.arrivals
        with neon.counting() as trips:
            for _ in range(3600):
                clock.now += 1
                assert await readiness.is_ready()
        assert trips.trips == []
        assert neon.arrivals == arrived

        neon.cut()
        neon.refuse(Refusal.UNREACHABLE)
        assert await readiness.is_ready()
        with pytest.raises((DBAPIError, OSError, OutcomeUnknownError)):
            await _use(database, 0.5)
        assert not await readiness.is_ready()
        arrived = neon.arrivals
        for _ in range(20):
            clock.now += 0.25
            assert not await readiness.is_ready()
        assert 4 <= neon.arrivals - arrived <= 6

        neon.admit()
        clock.now += 1
        assert await readiness.is_ready()
        clock.now += 1000
        with neon.counting() as trips:
            assert await readiness.is_ready()
        assert trips.trips == []
