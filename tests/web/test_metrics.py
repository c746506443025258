"""`/metrics`: who may read it, and what it tells."""

import asyncio
import re

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from pydantic import SecretStr
from sqlalchemy import text

import neonkit
from neonkit import Database, SessionDep, Settings
from neonkit.dsn import Dsn
from neonkit.local import WireProxy
from neonkit.testing._app_lifespan import running

TOKEN = "kR4tVw7qLm2xZs9b"


def _app(*, is_production: bool = False, token: str | None = None) -> FastAPI:
    app = FastAPI()
    settings = Settings(
        environment="production" if is_production else "test",
        neon_database_url=Dsn.parse("postgresql://u:p@localhost/d") if is_production else None,
        secret_key=SecretStr("nB2xk0dJr7Qe5sVw9zLtYh3mUaGc8fPiRo6E1KXW"),
        metrics_token=SecretStr(token) if token else None,
        slow_query_seconds=0.05,
    )
    neonkit.install(app, settings)

    @app.get("/things/{name}")
    async def thing(name: str, session: SessionDep, seconds: float = 0) -> str:
        connection = await session.connection()
        await connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})
        return name

    return app


async def _ask(
    app: FastAPI, database: Database, peer: str, headers: dict[str, str]
) -> tuple[int, str]:
    async with running(app, database) as asgi:
        transport = ASGITransport(asgi, client=(peer, 1))
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            response = await client.get("/metrics", headers=headers)
    problem = response.headers["content-type"] == "application/problem+json"
    return response.status_code, response.json()["type"].rpartition("/")[2] if problem else ""


@pytest.fixture
def app() -> FastAPI:
    """An app in development, without a token."""
    return _app()


@pytest.mark.real_commits
async def test_what_is_told(client: AsyncClient) -> None:
    """Requests by method, template and status; statements and slow ones by route; the pool."""
    await client.get("/things/a?seconds=0.1")
    await client.get("/things/b")
    await client.get("/nowhere/at/all")
    await client.request("BREW", "/things/a")

    response = await client.get("/metrics")

    assert response.headers["content-type"].startswith("text/plain; version=0.0.4")
    lines = response.text.splitlines()
    requests = "http_request_duration_seconds_count"
    assert f'{requests}{{method="GET",route="/things/{{name}}",status="200"}} 2.0' in lines
    assert f'{requests}{{method="GET",route="-",status="404"}} 1.0' in lines
    assert re.search(requests + r'{method="OTHER",.*status="405"} 1.0', response.text)
    assert 'database_query_duration_seconds_count{route="/things/{name}"} 2.0' in lines
    assert 'database_slow_queries_total{route="/things/{name}"} 1.0' in lines
    assert re.search(r"^database_pool_size [1-9]", response.text, re.MULTILINE)
    assert re.search(r"^database_pool_checked_out \d", response.text, re.MULTILINE)
    assert "database_pool_waiting 0.0" in lines
    assert "/nowhere" not in response.text


@pytest.mark.real_commits
async def test_what_foul_weather_leaves(client: AsyncClient, neon: WireProxy) -> None:
    """Wake-ups with their length, attempts made again by reason, and waits for a connection."""
    await client.get("/things/a")
    neon.suspend(wake_seconds=0.4)
    neon.refuse(times=1)
    await asyncio.sleep(0.05)
    assert (await client.get("/things/a")).status_code == 200

    lines = (await client.get("/metrics")).text.splitlines()
    assert "database_wakeup_duration_seconds_count 1.0" in lines
    assert 'database_retries_total{reason="unavailable"} 1.0' in lines
    assert any(
        line.startswith('database_connection_wait_seconds_count{stage="connect"} ')
        for line in lines
    )


async def test_the_slow_log_names_the_route(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """A statement over SLOW_QUERY_SECONDS is logged with the template, and without its value."""
    await client.get("/things/a?seconds=0.0625")

    (record,) = (record for record in caplog.records if record.name == "neonkit.slow")
    assert vars(record)["route"] == "/things/{name}"
    assert "0.0625" not in str(vars(record))


@pytest.mark.parametrize(
    ("is_production", "token", "peer", "headers", "expected"),
    [
        (False, None, "127.0.0.1", {}, (200, "")),
        (False, None, "::1", {}, (200, "")),
        (False, None, "::ffff:127.0.0.1", {}, (200, "")),
        (False, None, "192.0.2.1", {}, (404, "not-found")),
        (False, None, "testclient", {}, (404, "not-found")),
        (False, None, "127.0.0.1", {"X-Forwarded-For": "127.0.0.1"}, (404, "not-found")),
        (False, None, "127.0.0.1", {"Forwarded": "for=192.0.2.1"}, (404, "not-found")),
        (False, None, "127.0.0.1", {"X-Real-IP": "192.0.2.1"}, (404, "not-found")),
        (False, TOKEN, "127.0.0.1", {}, (200, "")),
        (False, TOKEN, "192.0.2.1", {}, (401, "unauthorized")),
        (True, None, "127.0.0.1", {}, (404, "not-found")),
        (True, None, "127.0.0.1", {"Authorization": "Bearer "}, (404, "not-found")),
        (True, TOKEN, "127.0.0.1", {}, (401, "unauthorized")),
        (True, TOKEN, "192.0.2.1", {"Authorization": f"Basic {TOKEN}"}, (401, "unauthorized")),
        (True, TOKEN, "192.0.2.1", {"Authorization": "Bearer wrong"}, (401, "invalid-token")),
        (True, TOKEN, "192.0.2.1", {"Authorization": f"Bearer {TOKEN}"}, (200, "")),
        (True, TOKEN, "192.0.2.1", {"Authorization": f"bearer {TOKEN}"}, (200, "")),
    ],
)
async def test_who_may_read(
    db: Database,
    is_production: bool,
    token: str | None,
    peer: str,
    headers: dict[str, str],
    expected: tuple[int, str],
) -> None:
    """The token opens it; outside production also this machine, if no proxy speaks for others."""
    app = _app(is_production=is_production, token=token)

    assert await _ask(app, db, peer, headers) == expected
