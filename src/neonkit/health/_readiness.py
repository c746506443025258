"""Readiness: what a balancer asks every few seconds, so it must cost next to nothing."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

_FRESH_SECONDS = 1.0
_PROBE_SECONDS = 1.5
_QUIET_SECONDS = 10.0


class Signs(Protocol):
    """Signs that traffic has given of the database."""

    @property
    def is_failing(self) -> bool:
        """True if its last use failed."""
        ...

    def idle_seconds(self) -> float:
        """Seconds since it was last used."""
        ...


class Readiness:
    """Answers whether the database can be used, asking it at most once a second.

    Args:
        probe: asks the database once, and raises where it does not answer.
        signs: what traffic has shown.
        is_passive: the database sleeps when idle, and must not be woken by this: nothing is
            sent while traffic has not used it for 10 s. A sleeping database counts as ready; a
            broken one is reported from its first failed use until a probe answers.
        clock: seconds, from anywhere.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        signs: Signs,
        *,
        is_passive: bool,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._probe = probe
        self._signs = signs
        self._is_passive = is_passive
        self._clock = clock
        self._answer = False
        self._asked = float("-inf")
        self._running: asyncio.Task[bool] | None = None

    async def is_ready(self) -> bool:
        """Say so within 2 s; concurrent callers share one probe."""
        if self._must_not_wake():
            return True
        if self._running is None and self._clock() - self._asked >= _FRESH_SECONDS:
            self._asked = self._clock()
            self._running = asyncio.create_task(self._ask())
        if self._running is None:
            return self._answer and not self._signs.is_failing
        self._answer = await asyncio.shield(self._running)
        return self._answer

    def _must_not_wake(self) -> bool:
        return (
            self._is_passive
            and not self._signs.is_failing
            and self._signs.idle_seconds() >= _QUIET_SECONDS
        )

    async def _ask(self) -> bool:
        try:
            async with asyncio.timeout(_PROBE_SECONDS):
                await self._probe()
        except Exception:  # noqa: BLE001  # whatever it is, the answer is no
            return False
        else:
            return True
        finally:
            self._running = None
