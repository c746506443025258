"""How the time that a parser takes grows with what it is given."""

import time
from collections.abc import Callable
from itertools import pairwise

_FLOOR = 0.002
"""Seconds below which a run says more of the machine than of the parser."""


def seconds(parse: Callable[[int], object], size: int) -> float:
    """The best of five runs; anything else that runs on the machine only adds to one."""

    def once() -> float:
        started = time.process_time()
        parse(size)
        return time.process_time() - started

    return min(once() for _ in range(5))


def growth(parse: Callable[[int], object], *sizes: int) -> float:
    """The greatest factor between one size and the next; times under the floor count as it.

    Args:
        parse: makes and parses an input of so many bytes.
        sizes: each about twice the one before.
    """
    times = [max(seconds(parse, size), _FLOOR) for size in sizes]
    return max(large / small for small, large in pairwise(times))
