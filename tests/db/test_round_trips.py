"""What units of work cost, counted on the wire."""

from typing import get_args

import pytest

from neonkit import Database, create_engine
from neonkit.db import Driver, PoolPolicy, open_scope
from neonkit.local import WireProxy
from neonkit.testing import TripCounter
from support.work import ROWS, create, read


@pytest.fixture(params=get_args(Driver))
def database_driver(request: pytest.FixtureRequest) -> Driver:
    """Both drivers in turn."""
    driver: Driver = request.param
    return driver


@pytest.mark.parametrize("row", ROWS)
async def test_what_it_costs(
    db: Database, trips: TripCounter, database_driver: Driver, row: str
) -> None:
    """Each unit of work costs just this, once its statements are prepared."""
    await create(db)
    await create(db)
    await ROWS[row].work(db)

    with trips.exactly(ROWS[row].cost(database_driver)):
        await ROWS[row].work(db)


@pytest.mark.parametrize("database_driver", ["psycopg"], indirect=True)
async def test_preparing_costs_psycopg_nothing(db: Database, trips: TripCounter) -> None:
    """It travels with the statement, whenever psycopg finds it worth while."""
    for _ in range(10):
        with trips.exactly(1):
            await ROWS["list"].work(db)


@pytest.mark.usefixtures("db")
async def test_where_prepared_statements_do_not_survive(
    neon: WireProxy, database_driver: Driver
) -> None:
    """Through such a pooler a statement costs asyncpg one more, every time, and psycopg none."""
    engine = create_engine(neon.url, driver=database_driver, pooler_tracks_statements=False)
    more = 1 if database_driver == "asyncpg" else 0
    async with Database(engine) as other:
        await create(other)
        for _ in range(6):
            await ROWS["list"].work(other)
            await create(other)
        with neon.counting() as reading:
            await ROWS["list"].work(other)
        with neon.counting() as writing:
            await create(other)
    assert (reading.count, writing.count) == (1 + more, 1 + more)
    assert any(trip.prepared for trip in reading.trips), "it was kept"


@pytest.mark.usefixtures("db")
async def test_writes_with_begin(neon: WireProxy, database_driver: Driver) -> None:
    """`lone_writes=False` gives each write its BEGIN and COMMIT."""
    async with Database(
        create_engine(neon.url, driver=database_driver), lone_writes=False
    ) as other:
        await create(other)
        with neon.counting() as counted:
            await create(other)
        assert counted.count == (3 if database_driver == "asyncpg" else 2)


@pytest.mark.usefixtures("db")
async def test_after_another_isolation_level(neon: WireProxy, database_driver: Driver) -> None:
    """A connection that had another isolation level reads without BEGIN again afterwards."""
    one = PoolPolicy(size=1, overflow=0)
    async with Database(create_engine(neon.url, pool=one, driver=database_driver)) as other:
        await create(other)
        async with other.session() as session:
            await session.connection(execution_options={"isolation_level": "SERIALIZABLE"})
            await session.rollback()
        await read(other)
        with neon.counting() as counted:
            await read(other)
        assert counted.count == 1, str(counted)


async def test_a_new_connection(db: Database, neon: WireProxy, database_driver: Driver) -> None:
    """The first row of a process comes with the seventh round trip, the connecting included."""
    await create(db)
    async with Database(create_engine(neon.url, driver=database_driver)) as other:
        with neon.counting() as counted:
            await read(other)
    assert counted.count + counted.connecting <= 7


async def test_what_a_request_is_told(db: Database, trips: TripCounter) -> None:
    """The count of a scope is the wire's, preparing included."""
    await create(db)
    for row in ROWS.values():
        with open_scope() as scope, trips.counting() as counted:
            await row.work(db)
        assert scope.trips == counted.count, str(counted)
