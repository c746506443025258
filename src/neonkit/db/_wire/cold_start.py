"""Connecting to a database that may be asleep: attempts repeat until the deadline."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from neonkit.db._faults.classification import fault_of
from neonkit.db._policies import TimeoutPolicy
from neonkit.db._scope import Scope, current_scope

Connection = TypeVar("Connection")

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5


async def connect_through_cold_start(
    attempt: Callable[[], Awaitable[Connection]], timeouts: TimeoutPolicy
) -> Connection:
    """Call `attempt` until it gives a connection, the fault is final, or time is up.

    One attempt is bounded by `timeouts.connect`, all of them by what is left of the request
    (or by `timeouts.request` outside of one). Pauses grow from 20 ms to 500 ms with full
    jitter, so that many processes do not wake a compute in step.

    Raises:
        Exception: the last attempt's own, unchanged.
    """
    deadline = current_scope().deadline  # read once: a request's ends when its response begins
    scope = Scope(time.monotonic() + timeouts.request if deadline is None else deadline)
    pause = _FIRST_PAUSE
    while True:
        try:
            return await _bounded(attempt, min(timeouts.connect, scope.remaining() or 0.0))
        except Exception as error:
            fault = fault_of(error)
            wait = random.uniform(0, pause)  # noqa: S311  # jitter, not a secret
            if fault is None or not fault.is_transient or wait >= (scope.remaining() or 0.0):
                raise
        await asyncio.sleep(wait)
        pause = min(pause * 2, _LONGEST_PAUSE)


async def _bounded(attempt: Callable[[], Awaitable[Connection]], seconds: float) -> Connection:
    async with asyncio.timeout(seconds):
        return await attempt()
