"""Retries: what may be sent again after a fault, how soon, and for how long."""

import time
from typing import Protocol

from neonkit.db._backoff import Backoff, RetryBudget
from neonkit.db._faults.classification import Fault, fault_of
from neonkit.db._faults.sqlstates import FaultKind
from neonkit.db._policies import TimeoutPolicy
from neonkit.db._scope import current_scope
from neonkit.db._wire.observed_health import ObservedHealth
from neonkit.errors import OverloadedError

CONTENTION = {FaultKind.SERIALIZATION, FaultKind.DEADLOCK, FaultKind.LOCK_TIMEOUT}
"""Faults of a unit of work that collided with another: SQLSTATE 40001, 40P01, 55P03."""

_AWAY = {
    FaultKind.STALE_PLAN,
    FaultKind.CONNECTION_LOST,
    FaultKind.UNAVAILABLE,
    FaultKind.TOO_MANY_CONNECTIONS,
    FaultKind.READ_ONLY,
}
_ONCE = {
    FaultKind.READ_ONLY,  # a standby stays one for longer than a request lasts
    FaultKind.STATEMENT_TIMEOUT,  # who cancels it twice means it
}
_CANCELLED = "57014"
_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5


def is_busy(error: Exception) -> bool:
    """True if an attempt failed because every connection of this process was taken."""
    fault = fault_of(error)
    is_late = fault is not None and fault.kind is FaultKind.POOL_TIMEOUT
    return is_late or isinstance(error, OverloadedError)


class RetrySource(Protocol):
    """What an engine has one of: the budget, the bounds on waits, and its health."""

    @property
    def budget(self) -> RetryBudget:
        """Shared by all retries."""
        ...

    @property
    def timeouts(self) -> TimeoutPolicy:
        """Where nobody set a deadline, `request` is one."""
        ...

    @property
    def health(self) -> ObservedHealth:
        """Where each retry is noted."""
        ...


class Retries:
    """The retries of one unit of work, until the deadline of its scope.

    Nothing of what it did may have been committed, or it must be such that a second time does
    nothing: its callers see to that.

    Args:
        source: the connector, or a connection of its.
        started: when the first attempt began, on the monotonic clock.
    """

    def __init__(self, source: RetrySource, started: float) -> None:
        self._budget, self._health = source.budget, source.health
        deadline = current_scope().deadline
        self._deadline = started + source.timeouts.request if deadline is None else deadline
        self._statement_timeout = source.timeouts.statement
        self._began = started
        self._spent: set[FaultKind] = set()
        self._backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE, self._deadline)

    def pause_after(self, error: Exception, *, has_begun: bool = False) -> float | None:
        """Seconds until the next attempt; `None` where there is to be none.

        Args:
            error: what the last attempt failed with.
            has_begun: the attempt is a statement that began a transaction by itself. Then only
                what befell its connection is a reason: a lock that it did not get is told.
        """
        fault = fault_of(error)
        kinds = (_AWAY if has_begun else _AWAY | CONTENTION) - self._spent
        if fault is None:
            return None
        took = time.monotonic() - self._began
        is_stray = not has_begun and self._is_stray(fault, took)
        if fault.kind not in kinds and not is_stray:
            return None
        self._spent |= _ONCE & {fault.kind}
        return self.pause(fault.kind, 2 * took if fault.kind in CONTENTION else 0.0)

    def _is_stray(self, fault: Fault, took: float) -> bool:
        """True of a cancel that was meant for another statement: STATEMENT_TIMEOUT was not over."""
        is_first = fault.kind not in self._spent
        return is_first and fault.sqlstate == _CANCELLED and took < self._statement_timeout

    def pause(self, reason: FaultKind, takes: float = 0.0) -> float | None:
        """The same after an error that is a reason, whatever it is.

        Args:
            reason: what kind it is.
            takes: seconds that the next attempt must have: cut off at the deadline, it would leave
                a doubt where there is none now.
        """
        pause = self._backoff.pause()
        left = self._deadline - time.monotonic() - takes
        if pause is None or pause > left:
            return None
        wait = self._budget.take(left)
        if wait is None:
            return None
        self._health.witness.count_retry(reason.value)
        pause = max(pause, wait)
        self._began = time.monotonic() + pause
        return pause
