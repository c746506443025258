"""Twice the bytes, at most about twice the time: in all that is parsed before anybody signs in."""

import gc
from collections.abc import Callable, Iterator

import pytest

from support.parsing import MOST, REQUESTS, SIZES, Cost, Parse, cost_of, growth_of, places

Make = Callable[[int], Parse]

_TRIES = 3  # a busy machine may slow down one of the sizes, but not each time
NAMES = [*REQUESTS, "token", "cursor", "password of a login, accents"]


@pytest.fixture(scope="module")
def makers() -> Iterator[dict[str, Make]]:
    """What makes inputs, by the place where they are parsed."""
    found = places()
    made: dict[str, Make] = {}
    for _ in NAMES:
        name, make = next(found)
        made[name] = make
    gc.collect()
    gc.freeze()  # or each run would look through all that other tests have left
    yield made
    gc.unfreeze()
    assert next(found, None) is None


def _costs(make: Make) -> list[Cost]:
    return [cost_of(make, size) for size in SIZES[-4:]]


@pytest.mark.parametrize("name", NAMES)
def test_time_grows_no_faster_than_input(makers: dict[str, Make], name: str) -> None:
    """For each place: up to the largest input, no doubling takes three times as long."""
    costs = _costs(makers[name])
    for _ in range(_TRIES):
        if growth_of(costs) > MOST:
            costs = _costs(makers[name])

    assert growth_of(costs) <= MOST, [round(cost.seconds * 1000, 1) for cost in costs]
    assert costs[-1].seconds < 1
    assert costs[-1].kilobytes < 20_000


def test_what_is_quadratic_is_found() -> None:
    """A parser that looks through all of its input for each part of it does not pass."""

    def make(size: int) -> Parse:
        names = [str(at) for at in range(size // 10)]
        return lambda: [names.count(name) for name in names]

    assert growth_of([cost_of(make, size) for size in SIZES[-4:]]) > MOST
