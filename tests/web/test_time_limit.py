"""The time limit of a request: until its response begins, and no longer."""

import asyncio
from collections.abc import AsyncIterator
from typing import Annotated

import pytest
from fastapi import BackgroundTasks, Depends, FastAPI
from fastapi.responses import StreamingResponse
from httpx2 import AsyncClient
from sqlalchemy import text

import neonkit
from neonkit import Database, DatabaseDep, Settings
from neonkit.web import timeout

REQUEST = 0.6
LATER = 1.0


async def _use(database: Database) -> str:
    async with database.session() as session:
        return str((await session.connection()).dialect.name)


async def _sleep_in_database(database: Database, seconds: float) -> None:
    async with database.session() as session:
        connection = await session.connection()
        await connection.execute(text("SELECT pg_sleep(:seconds)"), {"seconds": seconds})


class Done(dict[str, str]):
    """What the late work of the app came to."""


done = Done()


@pytest.fixture
def app() -> FastAPI:
    """An app whose requests have 0.6 s, and whose work goes on for longer."""
    app = FastAPI()
    settings = Settings(
        environment="test",
        request_timeout=REQUEST,
        statement_timeout=0.4,
        lock_timeout=0.2,
        pool_timeout=0.4,
        connect_timeout=0.4,
        cors_origins=["https://app.example"],
    )
    neonkit.install(app, settings)
    add_late_work(app)
    add_slow_routes(app)
    return app


def add_late_work(app: FastAPI) -> None:
    """Routes whose work goes on after their response began."""
    started: list[asyncio.Task[None]] = []

    async def later(name: str, database: Database) -> None:
        await asyncio.sleep(LATER)
        done[name] = await _use(database)

    @app.get("/task")
    async def task(tasks: BackgroundTasks, database: DatabaseDep) -> None:
        tasks.add_task(later, "task", database)

    @app.get("/created")
    async def created(database: DatabaseDep) -> None:
        started.append(asyncio.create_task(later("created", database)))

    @app.get("/joined")
    async def joined() -> None:
        await asyncio.gather(*started)

    @app.get("/stream")
    async def stream(database: DatabaseDep) -> StreamingResponse:
        async def rows() -> AsyncIterator[str]:
            for _ in range(4):
                yield f"{await _use(database)} "
                await asyncio.sleep(LATER / 3)

        return StreamingResponse(rows())


def add_slow_routes(app: FastAPI) -> None:
    """Routes that take longer than they have, and routes that have longer."""

    @app.get("/slow")
    async def slow() -> None:
        await asyncio.sleep(30)

    @app.get("/slow/query")
    async def slow_query(database: DatabaseDep, seconds: float = 0) -> None:
        await asyncio.sleep(seconds)
        await _sleep_in_database(database, 30)

    @app.get("/slow/statement", dependencies=[Depends(timeout(30))])
    async def slow_statement(database: DatabaseDep) -> None:
        await _sleep_in_database(database, 30)

    @app.get("/long", dependencies=[Depends(timeout(30))])
    async def long(database: DatabaseDep) -> str:
        await asyncio.sleep(LATER)
        return await _use(database)

    @app.get("/endless")
    async def endless(_: Annotated[None, Depends(timeout(None))], database: DatabaseDep) -> str:
        await asyncio.sleep(LATER)
        return await _use(database)

    @app.get("/short", dependencies=[Depends(timeout(0.2))])
    async def short() -> None:
        await asyncio.sleep(30)


@pytest.mark.parametrize("path", ["/long", "/endless"])
async def test_a_route_has_its_own_time(client: AsyncClient, path: str) -> None:
    """`timeout` gives a route more time than REQUEST_TIMEOUT, its statements included."""
    response = await client.get(path)

    assert (response.status_code, response.json()) == (200, "postgresql")


@pytest.mark.real_commits
@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/slow", "GET /slow took longer than the 0.6 s that REQUEST_TIMEOUT gives it"),
        ("/short", "GET /short took longer than the 0.2 s that the route's own `timeout` gives it"),
        (
            "/slow/query?seconds=0.2",
            "GET /slow/query took longer than the 0.6 s that REQUEST_TIMEOUT gives it",
        ),
    ],
)
async def test_the_error_names_the_setting_and_the_route(
    client: AsyncClient, path: str, told: str
) -> None:
    """Where the time limit ended something, the problem says whose it is."""
    response = await client.get(path)

    assert response.status_code in {503, 504}
    assert response.json()["detail"].startswith(told)


async def test_the_pages_script_reads_that_its_time_was_up(client: AsyncClient) -> None:
    """The 504 has the CORS headers of every answer: a browser would show its script an error."""
    answer = await client.get("/slow", headers={"Origin": "https://app.example"})

    assert answer.status_code == 504
    assert answer.headers["access-control-allow-origin"] == "https://app.example"


@pytest.mark.real_commits
async def test_a_statements_own_bound_is_not_called_the_requests(client: AsyncClient) -> None:
    """A statement that STATEMENT_TIMEOUT ended, with time left, does not blame the request's."""
    response = await client.get("/slow/statement")

    assert response.status_code == 504
    assert "took longer than the" not in response.json()["detail"]


async def test_what_follows_the_response_has_the_database(client: AsyncClient) -> None:
    """Background tasks, created tasks and streams use it long after REQUEST_TIMEOUT."""
    done.clear()
    await client.get("/created")
    streamed = (await client.get("/stream")).text.split()
    await client.get("/task")
    await client.get("/joined")

    assert streamed == ["postgresql"] * 4
    assert done == {"task": "postgresql", "created": "postgresql"}


@pytest.mark.parametrize("seconds", [0, -1, float("nan")])
def test_a_time_is_above_zero(seconds: float) -> None:
    """What can be no time is refused where the route is written."""
    with pytest.raises(ValueError, match="None for no limit"):
        timeout(seconds)
