"""Behind a pooler that knows nothing of prepared statements, while backends are ended under it.

The long form: `REQUESTS=100000 pytest tests/faults/test_behind_a_pooler.py`.
"""

import asyncio
import os
from itertools import count
from typing import get_args

import pytest
from sqlalchemy import func, insert, text
from sqlmodel import Field, col, select

from neonkit import Database, TableModel, create_engine
from neonkit.db import Driver, Key, open_scope
from support.poolers import pooled_road

_REQUESTS = int(os.environ.get("REQUESTS", "200"))
_WORKERS = 8
_END = text(
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = current_database() AND pid <> pg_backend_pid()"
)


class Lighter(TableModel, table=True):
    """A row that is written once, and read back."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=50)


@pytest.mark.real_commits
@pytest.mark.parametrize("driver", get_args(Driver))
async def test_no_request_fails_and_no_value_is_wrong(db: Database, driver: Driver) -> None:
    """Half of them are writes under a key: each has happened once, and each answer is its own."""
    numbers, ended, written = count(), 0, 0

    async def work(pooled: Database) -> None:
        nonlocal written
        for number in numbers:
            if number >= _REQUESTS // 2 and (ended > 1 or number >= 50 * _REQUESTS):
                return
            name = f"lighter {number}"
            key = Key(f"key-of-{number}", b"one caller", (b"one body",))
            new = insert(Lighter).values(name=name).returning(col(Lighter.name))
            with open_scope(15):
                assert (await pooled.execute(new, key)).scalar_one() == name
                written += 1
            with open_scope(15):
                found = await pooled.execute(select(Lighter.name).where(Lighter.name == name))
                assert list(found.scalars()) == [name]

    async def end_backends() -> None:
        nonlocal ended
        while True:
            await asyncio.sleep(0.5)
            ended += len((await db.execute(_END)).all())

    async with pooled_road(db, tracked_statements=0) as road:
        engine = create_engine(road.wire.dsn, driver=driver)
        async with Database(engine) as pooled:
            await pooled.execute(select(Lighter))
            ending = asyncio.create_task(end_backends())
            await asyncio.gather(*(work(pooled) for _ in range(_WORKERS)))
            ending.cancel()
            await asyncio.gather(ending, return_exceptions=True)
        kept = (await db.execute(select(func.count(col(Lighter.id))))).scalar_one()

    assert kept == written >= _REQUESTS // 2
    assert ended > 0
