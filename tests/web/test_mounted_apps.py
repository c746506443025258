"""Mounted apps, and apps that do not run: which database they have, and what they are told."""

from pathlib import Path

import pytest
from fastapi import APIRouter, FastAPI
from fastapi.responses import HTMLResponse
from fastapi.testclient import TestClient
from httpx2 import AsyncClient
from sqlalchemy import text
from starlette.applications import Starlette
from starlette.requests import Request as StarletteRequest
from starlette.responses import PlainTextResponse
from starlette.routing import Route
from starlette.staticfiles import StaticFiles

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


@pytest.fixture
def nested(tmp_path: Path) -> FastAPI:
    """An app with others at a fixed place, one with a parameter, one inside another, and files."""
    app, outer, router = FastAPI(), FastAPI(), APIRouter()
    neonkit.install(app, Settings(environment="test"))
    inner = FastAPI()

    @inner.get("/items/{item_id}")
    async def read_item(item_id: int) -> int:
        return item_id

    async def plain(_: StarletteRequest) -> PlainTextResponse:
        return PlainTextResponse("plain")

    outer.mount("/inner", inner)
    router.mount("/mounted", inner)
    app.mount("/outer", outer)
    app.mount("/tenants/{tenant}", inner)
    app.mount("/starlette", Starlette(routes=[Route("/plain/{word}", plain)]))
    (tmp_path / "site.css").write_text("p {color: red}")
    app.mount("/static", StaticFiles(directory=tmp_path))
    app.include_router(router, prefix="/v1")
    app.include_router(inner.router, prefix="/v2")
    return app


@pytest.mark.parametrize(
    ("path", "status", "name"),
    [
        ("/outer/inner/items/7", 200, "/outer/inner/items/{item_id}"),
        ("/tenants/acme/items/7", 200, "/tenants/{tenant}/items/{item_id}"),
        ("/tenants/acme/items/seven", 422, "/tenants/{tenant}/items/{item_id}"),
        ("/v1/mounted/items/7", 200, "/v1/mounted/{path}"),
        ("/v2/items/7", 200, "/v2/items/{item_id}"),
        ("/starlette/plain/word", 200, "/starlette/plain/{word}"),
        ("/static/site.css", 200, "/static/{path}"),
        ("/static/none.css", 404, "/static/{path}"),
        ("/outer/nothing", 404, "/outer/{path}"),
        ("/outer/inner/nothing", 404, "/outer/inner/{path}"),
        ("/nothing", 404, "-"),
    ],
)
def test_a_mounted_route_is_named_from_where_it_is_mounted(
    nested: FastAPI, caplog: pytest.LogCaptureFixture, path: str, status: int, name: str
) -> None:
    """In the log and in the metrics, by templates: neither a tenant nor a file becomes a name."""
    with TestClient(nested) as client, caplog.at_level("INFO", "neonkit.access"):
        assert client.get(path).status_code == status
    assert [each.route for each in caplog.records if each.name == "neonkit.access"] == [name]  # type: ignore[attr-defined]  # of `extra`
    assert f'route="{name}"' in Runtime.of(nested).metrics.render().decode()


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
