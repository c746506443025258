"""The fixtures `neon` and `trips`: the app under test, its database behind the wire."""

import asyncio

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import text

import neonkit
from neonkit.db import Database
from neonkit.local import WireProxy
from neonkit.testing import LiveServer, TripCounter


@pytest.fixture
def app() -> FastAPI:
    """An app with one statement."""
    app = FastAPI()
    neonkit.install(app, neonkit.Settings())

    @app.get("/one")
    async def read_one(session: neonkit.SessionDep) -> str:
        answer = await (await session.connection()).execute(text("SELECT 'of the app'"))
        return str(answer.scalar_one())

    return app


async def test_a_statement_costs_what_it_costs(db: Database, trips: TripCounter) -> None:
    """A warm connection is there: nothing but the block's own work is counted."""
    with trips.counting() as counted:
        async with db.engine.connect() as connection:
            await connection.execute(text("SELECT 1"))

    assert counted.connecting == 0
    assert counted.count > 0
    assert "SELECT 1" in counted.statements


async def _spend(db: Database) -> None:
    async with db.engine.begin() as connection:
        await connection.execute(text("SELECT 'planted'"))


async def test_a_budget_that_is_exceeded(db: Database, trips: TripCounter) -> None:
    """The failure says how many, how many are allowed, and lists the statements."""
    with pytest.raises(pytest.fail.Exception) as failure, trips.at_most(1):
        await _spend(db)
    assert "round trips to the database, where the test allows at most 1:\n" in str(failure.value)
    assert "SELECT 'planted'" in str(failure.value)

    with pytest.raises(pytest.fail.Exception, match=r"^0 round trips"), trips.exactly(1):
        pass
    with trips.at_most(0), trips.exactly(0):
        pass


async def test_what_the_block_raises_comes_through(trips: TripCounter) -> None:
    """An exception of the block is not hidden by the count."""
    with pytest.raises(ZeroDivisionError), trips.exactly(5):
        raise ZeroDivisionError


async def test_the_app_goes_through_the_wire(client: AsyncClient, trips: TripCounter) -> None:
    """A request of the app under test is counted."""
    with trips.counting() as counted:
        assert (await client.get("/one")).status_code == 200

    assert counted.count > 0
    assert "SELECT 'of the app'" in counted.statements


async def test_a_live_server_too(
    live_server: LiveServer, client: AsyncClient, trips: TripCounter
) -> None:
    """The server in its own thread has its database behind the same wire."""
    assert live_server.url
    with trips.counting() as counted:
        assert (await client.get("/one")).status_code == 200

    assert counted.count > 0


async def test_a_suspended_database_wakes_for_the_app(client: AsyncClient, neon: WireProxy) -> None:
    """A request that comes while the database sleeps waits for it, and is answered."""
    neon.suspend(wake_seconds=0.2)
    await asyncio.sleep(0.05)

    assert (await client.get("/one")).status_code == 200
