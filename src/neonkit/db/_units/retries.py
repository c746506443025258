"""Retries of whole units of work: after a collision, a lost connection, a database that is away."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from neonkit.db._faults.sqlstates import FaultKind
from neonkit.db._scope import current_scope
from neonkit.db._wire.connector import Connector
from neonkit.db._wire.driver_connection import DriverConnection
from neonkit.db._wire.retries import Retries, is_busy
from neonkit.errors import IdempotencyInProgressError, OutcomeUnknownError

Answer = TypeVar("Answer")
Decides = Callable[[Exception], bool]


async def retry(
    attempt: Callable[[], Awaitable[Answer]],
    connector: Connector[DriverConnection],
    decides: Decides | None = None,
) -> Answer:
    """Run an attempt until it is through, inside the deadline of the scope.

    Args:
        attempt: one unit of work, as a whole.
        connector: of the engine; has the budget, and the time where there is no deadline.
        decides: of a unit of work that has one effect at most, however often it is run: tells the
            errors that are its answer. Only such a one is run again after a lost COMMIT.

    Raises:
        OutcomeUnknownError: an attempt may have been committed, and no later one has found out.
        Exception: the last attempt's own.
    """
    connector.budget.earn()
    again = _Again(Retries(connector, time.monotonic()), decides)
    while True:
        try:
            answer = await attempt()
        except Exception as error:
            pause = again.pause_after(error)
            if pause is None:
                again.conclude(error)
                raise
        else:
            again.settle()
            return answer
        await asyncio.sleep(pause)


class _Again:
    """What is known of the attempts so far.

    Args:
        retries: how often, and for how long.
        decides: as for `retry`.
    """

    def __init__(self, retries: Retries, decides: Decides | None) -> None:
        self._retries = retries
        self._decides = decides
        self._scope = current_scope()
        self._was_answered = self._scope.is_answered
        self._doubts = 0

    def pause_after(self, error: Exception) -> float | None:
        """Seconds until the next attempt; `None` where there is to be none."""
        if self._scope.is_answered and not self._was_answered:
            return None  # the client has seen a part of what the attempt made
        if isinstance(error, OutcomeUnknownError):
            self._doubts += 1
            is_last = self._decides is None or self._decides(error)
            return None if is_last else self._retries.pause(FaultKind.OUTCOME_UNKNOWN)
        if self._doubts and isinstance(error, IdempotencyInProgressError):
            return self._retries.pause(FaultKind.LOCK_TIMEOUT)  # an attempt of ours has the key
        if self._doubts and is_busy(error):
            return self._retries.pause(
                FaultKind.POOL_TIMEOUT
            )  # to wait on is better than not to know
        return self._retries.pause_after(error)

    def conclude(self, error: Exception) -> None:
        """Take the last error; where it does not tell what became of an attempt, say so."""
        if isinstance(error, OutcomeUnknownError) or not self._doubts:
            return
        if self._decides is None or not self._decides(error):
            raise OutcomeUnknownError from error
        self.settle()

    def settle(self) -> None:
        """Note that the outcome of every attempt is known."""
        self._scope.doubts -= self._doubts
        self._doubts = 0
