"""Back-off: pauses between attempts, with full jitter, and a budget for all of them."""

import random
import time
from dataclasses import dataclass


@dataclass
class Backoff:
    """Pauses that double, each drawn evenly from zero to the longest so far (full jitter).

    Many processes that lost the same database do not come back in step, and a deadline ends it.

    Attributes:
        first: seconds that the first pause lasts at most.
        longest: seconds that any pause lasts at most.
        deadline: on the monotonic clock; `None` for no bound.
    """

    first: float
    longest: float
    deadline: float | None = None

    def pause(self) -> float | None:
        """Seconds until the next attempt; `None` where the deadline comes before it."""
        drawn = random.uniform(0, self.first)  # noqa: S311  # jitter, not a secret
        self.first = min(self.first * 2, self.longest)
        if self.deadline is not None and time.monotonic() + drawn >= self.deadline:
            return None
        return drawn


class RetryBudget:
    """Tokens for doing again what failed: a service that mostly fails does not double its load.

    A fifth of a token is earned with each unit of work, and five with each second; a retry takes
    one. Where there is none it waits for its turn, as long as its deadline allows.

    Attributes:
        taken: how many retries there were so far.
    """

    def __init__(self, most: float = 100.0, share: float = 0.2, per_second: float = 5.0) -> None:
        self._most = self._left = most
        self._share = share
        self._per_second = per_second
        self._filled = time.monotonic()
        self.taken = 0

    def earn(self) -> None:
        """Note a unit of work that begins."""
        self._left = min(self._most, self._left + self._share)

    def take(self, seconds: float) -> float | None:
        """Take a token: seconds until it is there; `None` where that is later than they allow."""
        now = time.monotonic()
        self._left = min(self._most, self._left + (now - self._filled) * self._per_second)
        self._filled = now
        wait = max(0.0, (1 - self._left) / self._per_second)
        if wait > seconds:
            return None
        self._left -= 1
        self.taken += 1
        return wait
