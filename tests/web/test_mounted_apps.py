"""Mounted apps, and apps that do not run: which database they have, and what they are told."""

import pytest
from fastapi import FastAPI
from fastapi.responses import HTMLResponse
from fastapi.testclient import TestClient
from httpx2 import AsyncClient
from sqlalchemy import text

import neonkit
from neonkit import DatabaseDep, ReadSessionDep, Settings
from neonkit.errors import ForbiddenError
from neonkit.web import NotInstalledError, NotRunningError, Runtime, add_boot_step


class SecretError(Exception):
    """An error that only one of the apps knows."""


def _inner() -> FastAPI:
    inner = FastAPI()

    @inner.get("/count")
    async def count(session: ReadSessionDep) -> int:
        connection = await session.connection()
        return int((await connection.execute(text("SELECT 7"))).scalar_one())

    @inner.get("/secret")
    async def secret() -> None:
        raise SecretError

    @inner.get("/page", response_class=HTMLResponse)
    async def page() -> str:
        return "<style>p {color: red}</style>"

    return inner


@pytest.fixture
def app() -> FastAPI:
    """An app with two others mounted in it: one with neonkit, one without."""
    app, plain, installed = FastAPI(), _inner(), _inner()
    settings = Settings(environment="test")
    neonkit.install(app, settings)
    neonkit.install(installed, settings)
    neonkit.add_problem(installed, SecretError, 418, "secret")
    app.mount("/plain", plain)
    app.mount("/installed", installed)

    @app.get("/forbidden")
    async def forbidden() -> None:
        raise ForbiddenError

    return app


@pytest.mark.parametrize("prefix", ["/plain", "/installed"])
async def test_a_mounted_app_has_its_parents_database(
    client: AsyncClient, caplog: pytest.LogCaptureFixture, prefix: str
) -> None:
    """Starlette runs no lifespan for it, so it uses what its parent opened; one access line."""
    with caplog.at_level("INFO", "neonkit.access"):
        response = await client.get(f"{prefix}/count")

    assert (response.status_code, response.json()) == (200, 7)
    assert len(response.headers.get_list("x-request-id")) == 1
    assert len([each for each in caplog.records if each.name == "neonkit.access"]) == 1


async def test_a_mounted_app_keeps_its_own_problems(client: AsyncClient) -> None:
    """What it was told of errors holds inside of it."""
    response = await client.get("/installed/secret")

    assert (response.status_code, response.json()["type"]) == (418, "/problems/secret")
    assert (await client.get("/forbidden")).status_code == 403


async def test_a_mounted_app_is_ready_when_its_parent_is(client: AsyncClient) -> None:
    """Its health routes tell of the database that it uses."""
    assert (await client.get("/installed/health/ready")).status_code == 200
    assert (await client.get("/installed/health/startup")).status_code == 200


def test_the_lifespan_that_does_not_run_is_named() -> None:
    """TestClient without `with` is told exactly that, and not that install is missing."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))

    @app.get("/count")
    async def count(_: DatabaseDep) -> int:
        return 1

    with pytest.raises(NotRunningError, match=r"with TestClient\(app\) as client"):
        TestClient(app).get("/count")


def test_an_app_without_neonkit_is_told_to_install() -> None:
    """Dependencies and calls alike say what to write."""
    app = _inner()

    with pytest.raises(NotInstalledError, match=r"neonkit\.install\(app\)"):
        TestClient(app).get("/count")
    with pytest.raises(NotInstalledError):
        neonkit.add_problem(app, SecretError, 418, "secret")
    with pytest.raises(NotInstalledError):
        add_boot_step(app, lambda _: None)  # type: ignore[arg-type,return-value]  # never called
    with pytest.raises(NotInstalledError):
        Runtime.of(app)
