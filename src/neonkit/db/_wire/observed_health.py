"""The database's health, as traffic shows it, without asking it anything."""

import time
from dataclasses import dataclass


@dataclass
class ObservedHealth:
    """The last signs of life.

    Attributes:
        last_used: when a statement was last sent, on the monotonic clock.
        is_failing: whether the last attempt to connect or to use a connection failed.
    """

    last_used: float = float("-inf")
    is_failing: bool = False

    def idle_seconds(self) -> float:
        """Seconds since a statement was last sent; infinite before the first."""
        return time.monotonic() - self.last_used
