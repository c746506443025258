"""The database's health, as traffic shows it, without asking it anything."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

Stage: TypeAlias = Literal["queue", "connect"]
"""What is waited for: a place in the pool, or a connection that is being opened for it."""


class Witness(Protocol):
    """Whoever counts what requests do not see: `/metrics`, as a rule."""

    def count_wakeup(self, seconds: float) -> None:
        """Count a database that was away, and how long it was waited for."""

    def count_wait(self, stage: Stage, seconds: float) -> None:
        """Count a request that had to wait for a connection."""

    def count_retry(self, reason: str) -> None:
        """Count an attempt that failed and is made again, by the kind of its fault."""


class _Nobody:
    def count_wakeup(self, seconds: float) -> None:
        pass

    def count_wait(self, stage: Stage, seconds: float) -> None:
        pass

    def count_retry(self, reason: str) -> None:
        pass


@dataclass
class ObservedHealth:
    """The last signs of life.

    Attributes:
        last_used: when a statement was last sent, on the monotonic clock.
        is_failing: whether the last attempt to connect or to use a connection failed.
        back_at: when a database that had been away could last be connected to.
        silent_since: when a statement was sent whose connection has said nothing since; what was
            opened before may be as silent.
        witness: who is told.
        clock: seconds, from anywhere.
    """

    last_used: float = float("-inf")
    is_failing: bool = False
    back_at: float = float("-inf")
    silent_since: float = float("-inf")
    witness: Witness = field(default_factory=_Nobody)
    clock: Callable[[], float] = time.monotonic

    def idle_seconds(self) -> float:
        """Seconds since a statement was last sent; infinite before the first."""
        return self.clock() - self.last_used

    def note_wakeup(self, seconds: float) -> None:
        """Note that the database is back, after so long a wait for it."""
        self.back_at = time.monotonic()
        self.witness.count_wakeup(seconds)
