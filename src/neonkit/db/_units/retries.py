"""Retries: a unit of work that collided with another one is run again."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from neonkit.db._backoff import Backoff
from neonkit.db._faults.classification import fault_of
from neonkit.db._faults.sqlstates import FaultKind
from neonkit.db._scope import current_scope

Answer = TypeVar("Answer")

CONTENTION = {FaultKind.SERIALIZATION, FaultKind.DEADLOCK, FaultKind.LOCK_TIMEOUT}
"""Faults that `retry_contention` retries: SQLSTATE 40001, 40P01, 55P03."""

_FIRST_PAUSE = 0.01
_LONGEST_PAUSE = 0.5
_UNHURRIED = 15.0  # seconds to go on where nobody set a deadline


class RetryBudget:
    """Tokens for running work again: a service that mostly fails stops repeating itself.

    Each further run costs one token, and each success earns a tenth of one.
    """

    def __init__(self, most: float = 100.0) -> None:
        self._most = self._left = most

    def spend(self) -> bool:
        """Take a token, if there is one."""
        if self._left < 1:
            return False
        self._left -= 1
        return True

    def earn(self) -> None:
        """Note a success."""
        self._left = min(self._most, self._left + 0.1)


async def retry_contention(attempt: Callable[[], Awaitable[Answer]], budget: RetryBudget) -> Answer:
    """Run an attempt until it does not collide: SQLSTATE 40001, 40P01, 55P03.

    Pauses with full jitter in between, inside the deadline of the scope and the budget; then the
    last collision is raised.
    """
    deadline = current_scope().deadline
    if deadline is None:
        deadline = time.monotonic() + _UNHURRIED
    backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, deadline)
    while True:
        try:
            answer = await attempt()
        except Exception as error:
            fault = fault_of(error)
            if fault is None or fault.kind not in CONTENTION:
                raise
            pause = backoff.pause()
            if pause is None or not budget.spend():
                raise
            await asyncio.sleep(pause)
        else:
            budget.earn()
            return answer
