"""Readiness is truthful, bounded, shared, and never what wakes a sleeping database."""

import asyncio
from dataclasses import dataclass

from neonkit.health import Readiness


@dataclass
class Signs:
    """What traffic shows, as the test says."""

    is_failing: bool = False
    idle: float = 0.0

    def idle_seconds(self) -> float:
        """Seconds since the last use."""
        return self.idle


class Questions:
    """A probe that counts, and answers as the test says."""

    def __init__(self) -> None:
        self.asked = 0
        self.answers = True
        self.takes = 0.0

    async def __call__(self) -> None:
        """Answer, or fail."""
        self.asked += 1
        await asyncio.sleep(self.takes)
        if not self.answers:
            raise ConnectionError


async def test_it_asks_once_a_second_at_most() -> None:
    """Many callers at once and in a row cost one question; a second later there is another."""
    probe = Questions()
    readiness = Readiness(probe, Signs(), is_passive=False)

    assert all(await asyncio.gather(*(readiness.is_ready() for _ in range(20))))
    assert await readiness.is_ready()
    assert probe.asked == 1
    await asyncio.sleep(1.05)
    probe.answers = False
    assert not await readiness.is_ready()
    assert probe.asked == 2


async def test_it_answers_within_two_seconds() -> None:
    """A database that says nothing is not ready, and the caller is not kept waiting."""
    probe = Questions()
    probe.takes = 60
    async with asyncio.timeout(2):
        assert not await Readiness(probe, Signs(), is_passive=False).is_ready()


async def test_a_caller_that_goes_away_spoils_nothing() -> None:
    """The question goes on for the others that wait for it."""
    probe = Questions()
    probe.takes = 0.2
    readiness = Readiness(probe, Signs(), is_passive=False)
    first, second = (asyncio.create_task(readiness.is_ready()) for _ in range(2))
    await asyncio.sleep(0.05)
    first.cancel()
    assert await second
    assert probe.asked == 1


async def test_a_sleeping_database_is_let_sleep() -> None:
    """Where it sleeps when idle, nothing is sent after 10 s without traffic, and it is ready."""
    probe, signs = Questions(), Signs(idle=10)
    readiness = Readiness(probe, signs, is_passive=True)

    assert all([await readiness.is_ready() for _ in range(10)])
    assert probe.asked == 0
    signs.idle = 9.9
    assert await readiness.is_ready()
    assert probe.asked == 1


async def test_a_database_that_failed_is_asked_until_it_answers() -> None:
    """From the first failed use on it is not ready, idle or not, until a probe succeeds."""
    probe, signs = Questions(), Signs(is_failing=True, idle=1000)
    probe.answers = False
    readiness = Readiness(probe, signs, is_passive=True)

    assert not await readiness.is_ready()
    assert probe.asked == 1
    await asyncio.sleep(1.05)
    probe.answers = True
    assert await readiness.is_ready()
    signs.is_failing = False
    assert probe.asked == 2
    assert await readiness.is_ready()
    assert probe.asked == 2


async def test_a_failed_use_is_told_at_once() -> None:
    """Also within the second in which the last answer still counts, and it is not asked again."""
    probe, signs = Questions(), Signs()
    readiness = Readiness(probe, signs, is_passive=False)

    assert await readiness.is_ready()
    signs.is_failing = True
    assert not await readiness.is_ready()
    assert probe.asked == 1
