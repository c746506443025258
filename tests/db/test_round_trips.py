"""What units of work cost, counted on the wire."""

import pytest

from neonkit import Database, create_engine
from neonkit.db import PoolPolicy, open_scope
from neonkit.local import WireProxy
from neonkit.testing import TripCounter
from support.work import ROWS, create, read


@pytest.mark.parametrize("row", ROWS)
async def test_what_it_costs(db: Database, trips: TripCounter, row: str) -> None:
    """Each unit of work costs just this, once its statements are prepared."""
    work, cost = ROWS[row]
    await create(db)
    await create(db)
    await work(db)

    with trips.exactly(cost):
        await work(db)


@pytest.mark.usefixtures("db")
async def test_writes_with_begin(neon: WireProxy) -> None:
    """`lone_writes=False` gives each write its BEGIN and COMMIT."""
    async with Database(create_engine(neon.url), lone_writes=False) as other:
        await create(other)
        with neon.counting() as counted:
            await create(other)
        assert counted.count == 3


@pytest.mark.usefixtures("db")
async def test_after_another_isolation_level(neon: WireProxy) -> None:
    """A connection that had another isolation level reads without BEGIN again afterwards."""
    one = PoolPolicy(size=1, overflow=0)
    async with Database(create_engine(neon.url, pool=one)) as other:
        await create(other)
        async with other.session() as session:
            await session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
            await session.rollback()
        await read(other)
        with neon.counting() as counted:
            await read(other)
        assert counted.count == 1, str(counted)


async def test_a_new_connection(db: Database, neon: WireProxy) -> None:
    """The first row of a process comes with the seventh round trip, the connecting included."""
    await create(db)
    async with Database(create_engine(neon.url)) as other:
        with neon.counting() as counted:
            await read(other)
    assert counted.count + counted.connecting <= 7


async def test_what_a_request_is_told(db: Database, trips: TripCounter) -> None:
    """The count of a scope is the wire's, preparing included."""
    await create(db)
    for work, _ in ROWS.values():
        with open_scope() as scope, trips.counting() as counted:
            await work(db)
        assert scope.trips == counted.count, str(counted)
