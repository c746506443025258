"""Routes that a client may call so often."""

from typing import Annotated, Any

import httpx2
import pytest
from fastapi import Body, Depends, FastAPI
from sqlalchemy import text
from starlette.requests import HTTPConnection

import neonkit
from neonkit import Database, throttle
from neonkit.web import Runtime, address_of


def _caller(connection: HTTPConnection) -> str:
    return connection.headers.get("x-caller", "")


@pytest.fixture
def app() -> FastAPI:
    """Three routes: two that count apart, and one that counts by a header."""
    app = FastAPI()
    neonkit.install(app, neonkit.Settings(environment="test", _env_file=None))

    @app.get("/slow", dependencies=[Depends(throttle(3, 60))])
    async def slow() -> str:
        return "done"

    @app.get("/other", dependencies=[Depends(throttle(3, 60))])
    async def other() -> str:
        return "done"

    @app.get("/named", dependencies=[Depends(throttle(40, 60, by=_caller))])
    async def named() -> str:
        return "done"

    @app.post("/taken", dependencies=[Depends(throttle(3, 60))])
    async def take(size: Annotated[int, Body(embed=True)]) -> int:
        return size

    return app


async def test_a_route_is_called_so_often(client: httpx2.AsyncClient) -> None:
    """Then 429 with the seconds that are left; other routes count apart."""
    statuses = [(await client.get("/slow")).status_code for _ in range(3)]
    refused = await client.get("/slow")

    assert statuses == [200] * 3
    assert (refused.status_code, refused.json()["type"]) == (429, "/problems/rate-limited")
    assert 0 < int(refused.headers["retry-after"]) <= 60
    assert (await client.get("/other")).status_code == 200


async def test_a_limit_comes_before_faults_of_the_input(client: httpx2.AsyncClient) -> None:
    """429 whatever the body is like; while there is something left, what is wrong is told."""
    bad: dict[str, Any] = {"content": b"{", "headers": {"Content-Type": "application/json"}}
    before = await client.post("/taken", **bad)
    for _ in range(3):
        await client.post("/taken", json={"size": 1})
    after = [await client.post("/taken", **bad), await client.post("/taken?x", json={"size": "a"})]

    assert before.status_code == 400
    assert [each.status_code for each in after] == [429, 429]
    assert (await client.post("/elsewhere", **bad)).status_code == 404


async def test_what_is_shared_costs_a_tenth(client: httpx2.AsyncClient, db: Database) -> None:
    """One round trip for each tenth of the limit; nothing is sent by a timer."""
    told = [
        (await client.get("/named", headers={"X-Caller": "a"})).headers["server-timing"]
        for _ in range(8)
    ]
    async with db.read_session() as session:
        counts = text("SELECT count FROM neonkit.throttles")
        shared = (await (await session.connection()).execute(counts)).scalar_one()

    assert ['desc="0"' in each for each in told] == [True, True, True, False] * 2
    assert shared == 8


async def test_another_worker_has_counted(
    app: FastAPI, client: httpx2.AsyncClient, db: Database
) -> None:
    """What it has shared is refused here."""
    await client.get("/slow")
    async with db.session() as session:
        await (await session.connection()).execute(text("UPDATE neonkit.throttles SET count = 3"))
        await session.commit()
    runtime = Runtime.of(app)
    runtime.throttles = runtime._new_throttles()

    assert (await client.get("/slow")).status_code == 429


@pytest.mark.parametrize(
    ("host", "counted"),
    [
        ("203.0.113.7", "203.0.113.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2:ffff::1", "2001:db8:1:2::/64"),
        ("::ffff:203.0.113.7", "203.0.113.7"),
        ("testclient", "testclient"),
    ],
)
def test_addresses_of_one_client_are_one(host: str, counted: str) -> None:
    """Whoever has an IPv6 address has all of its network."""
    scope = {"type": "http", "client": (host, 1), "headers": []}

    assert address_of(HTTPConnection(scope)) == counted
