"""What ordinary shapes of models cost: the table of the docs, row by row, on the wire."""

import re
from collections.abc import AsyncIterator
from pathlib import Path
from typing import get_args

import pytest

from neonkit.db import Driver
from neonkit.testing._databases import Databases, Loan
from support.shapes import SHAPES, Child, Label, Labelled, Parent

PAGE = Path(__file__).parents[2] / "docs" / "explanation" / "shapes.md"
ROW = re.compile(r"^\| (.+?) \| (\d) (\d) (\d) \| (\d) (\d) (\d) \|", re.MULTILINE)
SHAPES |= {
    "a child whose parent is given by its key": lambda: Child(parent_id=1),
    "a child whose parent is given as an object": Child,
    "a row with links (many to many)": Labelled,
}
TABLE = {
    name: {"asyncpg": [*map(int, costs[:3])], "psycopg": [*map(int, costs[3:])]}
    for name, *costs in ROW.findall(PAGE.read_text())
}


@pytest.fixture(scope="module", params=get_args(Driver))
async def loan(
    request: pytest.FixtureRequest, _neonkit_databases: Databases
) -> AsyncIterator[tuple[Driver, Loan]]:
    """A database behind a wire, with what the shapes refer to."""
    async with _neonkit_databases.wired_clone(request.param) as loan:
        async with loan.database.session() as session:
            session.add_all([Parent(), Label()])
            await session.commit()
        yield request.param, loan


def test_the_table_is_whole() -> None:
    """Each shape is a row of the docs, and each row is tried."""
    assert sorted(TABLE) == sorted(SHAPES)
    assert len(TABLE) >= 30


@pytest.mark.parametrize("name", SHAPES)
async def test_what_a_shape_costs(loan: tuple[Driver, Loan], name: str) -> None:
    """To create, to change and to delete it, once its statements are prepared."""
    driver, lent = loan
    assert lent.wire is not None
    costs: list[int] = []
    for _ in range(2):
        costs.clear()
        async with lent.database.session() as session:
            row = SHAPES[name]()
            if name.endswith("as an object"):
                assert isinstance(row, Child)
                row.parent = await session.get_one(Parent, 1)
            if isinstance(row, Labelled):
                row.labels.append(await session.get_one(Label, 1))
            session.add(row)
            with lent.wire.counting() as counted:
                await session.commit()
            costs.append(counted.count)
            row.name = "b"
            with lent.wire.counting() as counted:
                await session.commit()
            costs.append(counted.count)
            await session.delete(row)
            with lent.wire.counting() as counted:
                await session.commit()
            costs.append(counted.count)
    assert costs == TABLE[name][driver]
