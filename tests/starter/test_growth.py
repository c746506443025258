"""Ten times the posts, and a request costs the database the same."""

import pytest
from rich.progress import Progress

from neonkit.dsn import Dsn
from support.growth import MOST, PLANTED, grown, growth_of, measure

SIZES = (10_000, 100_000)
"""A million more takes minutes: `python benchmarks/growth.py`."""


@pytest.mark.real_commits
async def test_ten_times_the_posts(dsn: Dsn) -> None:
    """Every plan goes by index, and looks at no more than 1.5 times the pages."""
    costs = []
    for size in SIZES:
        async with grown(dsn, size, Progress(disable=True)) as filled:
            costs.append(await measure(filled, size))

    for found in costs:
        assert [name for name, cost in found.items() if not cost.is_by_index] == []
        assert {name: cost.rows for name, cost in found.items()} == {
            "read": 1,
            "search": PLANTED,
            "first page": 20,
            "deep page": 20,
            "estimated total": 20,
            "search, estimated total": PLANTED,
        }
    growth = {name: growth_of(costs, name) for name in costs[0]}
    assert {name: times for name, times in growth.items() if times > MOST} == {}, costs
