"""Back-off: pauses between attempts, with full jitter."""

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
