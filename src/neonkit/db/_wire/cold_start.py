"""Connecting to a database that may be asleep: attempts repeat until the deadline."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from neonkit.db._backoff import Backoff
from neonkit.db._faults.classification import fault_of
from neonkit.db._policies import TimeoutPolicy
from neonkit.db._scope import current_scope

Connection = TypeVar("Connection")

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5


async def connect_through_cold_start(
    attempt: Callable[[], Awaitable[Connection]], timeouts: TimeoutPolicy
) -> Connection:
    """Call `attempt` until it gives a connection, the fault is final, or time is up.

    One attempt is bounded by `timeouts.connect`, all of them by the request's deadline, or by
    `timeouts.request` where there is none. Pauses grow from 20 ms to 500 ms with full jitter, so
    that many processes do not wake a compute in step.

    Raises:
        Exception: the last attempt's own, unchanged.
    """
    deadline = current_scope().deadline
    if deadline is None:
        deadline = time.monotonic() + timeouts.request
    backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, deadline)
    while True:
        left = max(0.0, deadline - time.monotonic())
        try:
            async with asyncio.timeout(min(timeouts.connect, left)):
                return await attempt()
        except Exception as error:
            fault = fault_of(error)
            pause = backoff.pause()
            if fault is None or not fault.is_transient or pause is None:
                raise
        await asyncio.sleep(pause)
