"""What happens around every request."""

import asyncio
import logging
import re

import pytest
from fastapi import BackgroundTasks, FastAPI, Request
from httpx2 import AsyncClient
from sqlalchemy import text

import neonkit
from neonkit import SessionDep, Settings


@pytest.fixture
def app() -> FastAPI:
    """An app with a template in its path, a query, and something slow."""
    app = FastAPI()
    settings = Settings(
        environment="test",
        lock_timeout=0.1,
        statement_timeout=0.2,
        pool_timeout=0.5,
        connect_timeout=0.5,
        request_timeout=1,
    )
    neonkit.install(app, settings)

    @app.get("/things/{name}")
    async def thing(name: str, session: SessionDep) -> str:
        await session.exec(text("SELECT pg_sleep(0.02)"))  # type: ignore[call-overload]  # SQLModel types exec for selects
        return name

    @app.get("/behind")
    async def behind(session: SessionDep, column: str) -> None:
        await session.exec(text(f"SELECT {column} FROM pg_class"))  # type: ignore[call-overload]  # SQLModel types exec for selects

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.sleep(30)

    @app.get("/after")
    async def after(request: Request, tasks: BackgroundTasks) -> None:
        tasks.add_task(lambda: seen.append(request.state.process_time))

    @app.get("/state")
    async def state(request: Request) -> str:
        return str(request.state.request_id)

    return app


seen: list[float] = []


async def test_the_time_taken_is_known_afterwards(client: AsyncClient) -> None:
    """`request.state.process_time` is what X-Process-Time says, for what comes after."""
    response = await client.get("/after")

    assert [f"{seconds:.3f}s" for seconds in seen] == [response.headers["x-process-time"]]


async def test_a_request_id_is_kept(client: AsyncClient) -> None:
    """A well-formed X-Request-ID comes back, and is known to the handler."""
    response = await client.get("/state", headers={"X-Request-ID": "abc.DEF_1-2"})

    assert response.headers["x-request-id"] == "abc.DEF_1-2"
    assert response.json() == "abc.DEF_1-2"


@pytest.mark.parametrize("given", ["", "a" * 65, "<b>", "a b", "é"])
async def test_a_bad_request_id_is_replaced(client: AsyncClient, given: str) -> None:
    """What is not 1 to 64 plain characters is replaced by a fresh id."""
    response = await client.get("/state", headers={b"X-Request-ID": given.encode()})

    assert re.fullmatch(r"[0-9a-f]{32}", response.headers["x-request-id"])


async def test_timing_headers(client: AsyncClient) -> None:
    """Server-Timing tells the database's share in milliseconds, X-Process-Time all in seconds."""
    response = await client.get("/things/a")

    assert re.fullmatch(r"\d+\.\d{3}s", response.headers["x-process-time"])
    timing = re.fullmatch(
        r'app;dur=([\d.]+), db;dur=([\d.]+), trips;desc="(\d+)"', response.headers["server-timing"]
    )
    assert timing is not None
    assert float(timing[1]) >= float(timing[2]) >= 20


async def test_security_headers(client: AsyncClient) -> None:
    """Every response says how browsers are to treat it."""
    response = await client.get("/nowhere")

    assert response.headers["x-content-type-options"] == "nosniff"
    assert response.headers["x-frame-options"] == "DENY"
    assert response.headers["referrer-policy"] == "no-referrer"
    assert "default-src 'none'" in response.headers["content-security-policy"]
    assert "strict-transport-security" not in response.headers


async def test_the_access_log_has_the_template_and_no_value(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """One line per request: the route's template, never the path or the query."""
    with caplog.at_level(logging.INFO, "neonkit.access"):
        await client.get("/things/private?token=hidden")

    lines = [record.getMessage() for record in caplog.records if record.name == "neonkit.access"]
    assert len(lines) == 1
    assert lines[0].startswith("GET /things/{name} 200 ")


async def test_a_request_ends_at_its_deadline(client: AsyncClient) -> None:
    """A handler that never ends is answered 504 within REQUEST_TIMEOUT and half a second."""
    loop = asyncio.get_running_loop()
    started = loop.time()
    response = await client.get("/slow")

    assert response.status_code == 504
    assert response.json()["type"] == "/problems/timeout"
    assert loop.time() - started < 1.5


async def test_liveness_needs_no_database(client: AsyncClient) -> None:
    """/health/live answers whatever the database does."""
    body = (await client.get("/health/live")).json()

    assert body["status"] == "alive"
    assert body["timestamp"].endswith("Z")


async def test_a_table_behind_its_model_is_one_line(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """The log line of a missing table or column names it, and the commands that bring it."""
    for missing in ("no_such_column", "(SELECT a FROM no_such_table)"):
        caplog.clear()
        answer = await client.get("/behind", params={"column": missing})
        assert answer.status_code == 500
        (line,) = [each.message for each in caplog.records if each.levelno == logging.ERROR]
        assert "no_such_" in line
        assert "run `neonkit makemigrations` and `neonkit migrate`" in line


async def test_readiness_and_startup(client: AsyncClient) -> None:
    """With a database that answers, the service is ready and started."""
    ready = await client.get("/health/ready")

    assert (ready.status_code, ready.json()) == (
        200,
        {"status": "ready", "checks": {"database": "ok"}},
    )
    assert (await client.get("/health/startup")).status_code == 200


async def test_docs_come_from_the_app_alone(client: AsyncClient) -> None:
    """The page and all its files are served here, under a policy that allows nothing else."""
    page = await client.get("/docs")

    assert page.status_code == 200
    assert "'unsafe-eval'" not in page.headers["content-security-policy"]
    addresses = re.findall(r'(?:src|href)="([^"]+)"', page.text)
    assert len(addresses) == 4
    for address in addresses:
        assert address.startswith("/docs/")
        assert (await client.get(address)).status_code == 200
    assert (await client.get("/docs/secrets.txt")).status_code == 404
