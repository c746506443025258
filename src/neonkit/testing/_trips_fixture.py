"""The fixture `trips`: round trips counted, and held to a number that stands in the test."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from neonkit.local import Trips, WireProxy


class TripCounter:
    """Counts the round trips between the app under test and its database.

    The three methods are context managers over `Trips`: its `count`, its `statements`, and
    `str()` of it, which lists what was sent.
    """

    def __init__(self, wire: WireProxy) -> None:
        self._wire = wire

    def counting(self) -> AbstractContextManager[Trips]:
        """Count the trips of the block, and leave the judgement to the test."""
        return self._wire.counting()

    def at_most(self, limit: int) -> AbstractContextManager[Trips]:
        """Fail the test if the block spends more than that, and say on what."""
        return self._judged(lambda count: count <= limit, f"at most {limit}")

    def exactly(self, number: int) -> AbstractContextManager[Trips]:
        """Fail the test if the block spends more or less than that, and say on what."""
        return self._judged(lambda count: count == number, f"exactly {number}")

    @contextmanager
    def _judged(self, is_right: Callable[[int], bool], budget: str) -> Iterator[Trips]:
        __tracebackhide__ = True
        with self._wire.counting() as trips:
            yield trips
        if not is_right(trips.count):
            plural = "" if trips.count == 1 else "s"
            pytest.fail(
                f"{trips.count} round trip{plural} to the database, where the test allows "
                f"{budget}:\n{trips}",
                pytrace=False,
            )


TripCounter.__module__ = "neonkit.testing"  # that room imports nothing, so it shows no names
