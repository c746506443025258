"""What the pytest plugin's fixtures are, as a test annotates them."""

from typing import assert_type

from httpx2 import AsyncClient, Response
from sqlmodel import select
from sqlmodel.ext.asyncio.session import AsyncSession

import neonkit
from neonkit import Database
from neonkit.local import WireProxy
from neonkit.testing import LiveServer, TripBudget, TripCounter
from typing_tests.evening import Note


async def test_with_a_client(client: AsyncClient, db: Database, session: AsyncSession) -> None:
    """The client is the one that Starlette's `TestClient` uses; `session` is one of `db`."""
    assert_type(await client.post("/notes", json={"title": "a"}), Response)
    assert_type((await session.exec(select(Note))).first(), Note | None)
    async with db.session() as other:
        assert_type(other, neonkit.AsyncSession)


async def test_on_the_wire(
    trips: TripCounter, budget: TripBudget, neon: WireProxy, live_server: LiveServer
) -> None:
    """What is counted is a number, and says itself what was sent."""
    with trips.counting() as spent:
        pass
    assert_type(spent.count, int)
    with trips.at_most(1):
        pass
    for attempt in budget("reading"):
        with attempt as counted:
            assert_type(counted.count, int)
    assert_type(neon.url, str)
    assert_type(live_server.url, str)
