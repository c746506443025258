"""Security headers: strict on data, none of our business on what a browser renders."""

from pathlib import Path

import pytest
from fastapi import FastAPI
from fastapi.responses import (
    FileResponse,
    HTMLResponse,
    JSONResponse,
    PlainTextResponse,
    RedirectResponse,
)
from fastapi.staticfiles import StaticFiles
from httpx2 import AsyncClient

import neonkit
from neonkit import Settings
from neonkit.errors import UnauthorizedError
from neonkit.web._redirects import without_own_host

STRICT = ("content-security-policy", "x-frame-options")


@pytest.fixture
def app(tmp_path: Path) -> FastAPI:
    """An app with pages, files and data."""
    (tmp_path / "site.css").write_text("p {color: red}")
    (tmp_path / "data.json").write_text("{}")
    app, mounted = FastAPI(), FastAPI()
    neonkit.install(app, Settings(environment="test"))
    app.mount("/static", StaticFiles(directory=tmp_path))
    app.mount("/mounted", mounted)

    @app.get("/page", response_class=HTMLResponse)
    async def page() -> str:
        return "<link rel=stylesheet href=/static/site.css>"

    @app.get("/file")
    async def file() -> FileResponse:
        return FileResponse(tmp_path / "site.css")

    @app.get("/text")
    async def plain() -> PlainTextResponse:
        return PlainTextResponse("plain")

    @app.get("/own")
    async def own() -> JSONResponse:
        return JSONResponse({}, headers={"Content-Security-Policy": "sandbox"})

    @app.get("/tagged")
    async def tagged() -> JSONResponse:
        return JSONResponse({}, headers={"ETag": '"1"'})

    @app.get("/cached")
    async def cached() -> JSONResponse:
        return JSONResponse({}, headers={"Cache-Control": "private, max-age=60"})

    @app.get("/secret")
    async def secret() -> None:
        raise UnauthorizedError

    @app.get("/elsewhere")
    async def elsewhere() -> RedirectResponse:
        return RedirectResponse("/page")

    @app.get("/data")
    @mounted.get("/data")
    async def data() -> dict[str, str]:
        return {}

    return app


@pytest.mark.parametrize(
    ("path", "is_strict"),
    [
        ("/data", True),
        ("/nowhere", True),
        ("/elsewhere", True),
        ("/openapi.json", True),
        ("/text", True),
        ("/page", False),
        ("/file", False),
        ("/static/site.css", False),
        ("/static/data.json", False),
        ("/mounted/data", False),
        ("/mounted/docs", False),
    ],
)
async def test_the_strict_policy_is_for_data(
    client: AsyncClient, path: str, is_strict: bool
) -> None:
    """Data and empty answers have it; pages, files and mounted apps look as before."""
    response = await client.get(path)

    assert [name in response.headers for name in STRICT] == [is_strict] * 2
    assert response.headers["x-content-type-options"] == "nosniff"


async def test_a_routes_own_policy_is_kept(client: AsyncClient) -> None:
    """What a route says itself is not said twice."""
    response = await client.get("/own")

    assert response.headers.get_list("content-security-policy") == ["sandbox"]


@pytest.mark.parametrize(
    ("path", "anonymous", "signed"),
    [
        ("/data", None, "no-store"),
        ("/nowhere", None, "no-store"),
        ("/tagged", None, "private, no-cache"),
        ("/cached", "private, max-age=60", "private, max-age=60"),
        ("/secret", "no-store", "no-store"),
        ("/mounted/data", None, "no-store"),
    ],
)
async def test_what_is_personal_is_not_kept(
    client: AsyncClient, path: str, anonymous: str | None, signed: str
) -> None:
    """With `Authorization`, and on 401; a route that says something itself is not contradicted."""
    found = await client.get(path)
    personal = await client.get(path, headers={"Authorization": "Basic eDp5"})

    assert found.headers.get("cache-control") == anonymous
    assert personal.headers.get_list("cache-control") == [signed]


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("http://evil.example/page?a=1", "/page?a=1"),
        ("http://evil.example//elsewhere.example", "http://evil.example//elsewhere.example"),
        ("http://evil.example/\\elsewhere.example", "http://evil.example/\\elsewhere.example"),
        ("http://elsewhere.example/page", "http://elsewhere.example/page"),
    ],
)
def test_a_redirect_names_no_host(location: str, sent: str) -> None:
    """The host is the client's word: the path goes back, unless it would be read as a host."""
    scope = {"scheme": "http", "headers": [(b"host", b"evil.example")]}

    assert without_own_host(scope, [(b"location", location.encode())]) == [
        (b"location", sent.encode())
    ]


async def test_fastapis_own_redirect_names_no_host(client: AsyncClient) -> None:
    """Of a slash too many."""
    response = await client.get("/page/", headers={"Host": "evil.example"})

    assert (response.status_code, response.headers["location"]) == (307, "/page")
