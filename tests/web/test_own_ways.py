"""An app's own ways: what it set up itself stays as it was."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from fastapi import FastAPI, HTTPException, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from httpx2 import ASGITransport, AsyncClient
from starlette.exceptions import HTTPException as AnyHTTPException
from starlette.types import ASGIApp, Receive, Scope, Send

import neonkit
from neonkit import Database, Settings
from neonkit.errors import ForbiddenError, NotFoundError
from neonkit.testing._app_lifespan import running


async def mine(_request: Request, error: Exception) -> JSONResponse:
    """An app's own handler."""
    return JSONResponse({"mine": type(error).__name__}, 418)


def _add_routes(app: FastAPI) -> None:
    @app.get("/boom")
    async def boom() -> None:
        raise KeyError("nobody expected this")

    @app.get("/refused")
    async def refused() -> None:
        raise HTTPException(403)

    @app.get("/number")
    async def number(n: int) -> int:
        return n

    @app.get("/missing")
    async def missing() -> None:
        raise NotFoundError


@asynccontextmanager
async def _client(app: FastAPI, db: Database) -> AsyncIterator[AsyncClient]:
    async with running(app, db) as asgi:
        transport = ASGITransport(asgi, raise_app_exceptions=False)
        async with AsyncClient(transport=transport, base_url="http://test") as client:
            yield client


@pytest.mark.parametrize("is_before", [True, False])
async def test_own_handlers_are_called(db: Database, is_before: bool) -> None:
    """Of FastAPI's errors, whether they were given before `install` or after it."""
    handlers: dict[Any, Any] = {AnyHTTPException: mine, RequestValidationError: mine}
    app = FastAPI(exception_handlers=handlers if is_before else None)
    neonkit.install(app, Settings(environment="test"))
    if not is_before:
        for kind, handler in handlers.items():
            app.add_exception_handler(kind, handler)
    _add_routes(app)

    async with _client(app, db) as client:
        for path in ("/refused", "/number?n=x", "/nowhere"):
            assert (await client.get(path)).status_code == 418
        assert (await client.get("/missing")).json()["type"] == "/problems/not-found"


@pytest.mark.parametrize("is_async", [True, False])
@pytest.mark.parametrize("kind", [Exception, 500])
async def test_an_own_handler_of_everything_is_called_once(
    db: Database, caplog: pytest.LogCaptureFixture, is_async: bool, kind: type[Exception] | int
) -> None:
    """Its answer has our headers, CORS among them, and its lines in the log."""
    calls: list[Exception] = []

    def in_a_thread(_request: Request, error: Exception) -> JSONResponse:
        calls.append(error)
        return JSONResponse({"mine": type(error).__name__}, 418)

    async def in_the_loop(request: Request, error: Exception) -> JSONResponse:
        return in_a_thread(request, error)

    app = FastAPI()
    settings = Settings(environment="test", cors_origins=["https://front.example"])
    neonkit.install(app, settings)
    app.add_exception_handler(kind, in_the_loop if is_async else in_a_thread)
    _add_routes(app)

    with caplog.at_level("INFO", "neonkit.access"):
        async with _client(app, db) as client:
            response = await client.get("/boom", headers={"Origin": "https://front.example"})

    assert (response.status_code, response.json()) == (418, {"mine": "KeyError"})
    assert response.headers["x-request-id"]
    assert response.headers["access-control-allow-origin"] == "https://front.example"
    assert len(calls) == 1
    lines = [each.getMessage() for each in caplog.records if each.name.startswith("neonkit.")]
    assert len(lines) == 2
    assert lines[0].startswith("GET /boom 418 ")
    assert lines[1].startswith("GET /boom: KeyError: ")


class Catching:
    """A middleware that answers what its app raises."""

    def __init__(self, app: ASGIApp, *, caught: list[str]) -> None:
        self.app = app
        self.caught = caught

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        try:
            await self.app(scope, receive, send)
        except KeyError as error:
            self.caught.append(type(error).__name__)
            await JSONResponse({}, 409)(scope, receive, send)


async def _catch(request: Request, call_next: Callable[[Request], Awaitable[Response]]) -> Response:
    try:
        return await call_next(request)
    except KeyError:
        return JSONResponse({}, 409)


class Refusing(Catching):
    """A middleware that raises an error of ours."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] == "http":
            raise ForbiddenError
        await self.app(scope, receive, send)


@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("is_pure", [True, False])
async def test_a_catching_middleware_catches(
    db: Database, caplog: pytest.LogCaptureFixture, is_before: bool, is_pure: bool
) -> None:
    """It sees a defect before anybody has answered it, and what it answers is what is logged."""
    app, caught = FastAPI(), list[str]()

    def add() -> None:
        if is_pure:
            app.add_middleware(Catching, caught=caught)
        else:
            app.middleware("http")(_catch)

    if is_before:
        add()
    neonkit.install(app, Settings(environment="test"))
    if not is_before:
        add()
    _add_routes(app)

    with caplog.at_level("INFO"):
        async with _client(app, db) as client:
            response = await client.get("/boom")

    assert response.status_code == 409
    assert response.headers["x-request-id"]
    assert caught == ["KeyError"] * is_pure
    lines = [each.getMessage() for each in caplog.records if each.name.startswith("neonkit.")]
    assert len(lines) == 1
    assert lines[0].startswith("GET /boom 409 ")


async def test_a_middleware_may_raise_our_errors(
    db: Database, caplog: pytest.LogCaptureFixture
) -> None:
    """A problem that a middleware raises is its document, and no defect."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))
    app.add_middleware(Refusing, caught=[])

    async with _client(app, db) as client:
        response = await client.get("/anything")

    assert (response.status_code, response.json()["type"]) == (403, "/problems/forbidden")
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@pytest.fixture
def app() -> FastAPI:
    """An app that raises every `HTTPException`."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))

    @app.get("/status/{code}")
    async def status(code: int) -> None:
        raise HTTPException(code, "said", {"X-Why": "because"})

    @app.get("/detail/{kind}")
    async def detail(kind: str) -> None:
        raise HTTPException(400, DETAILS[kind])

    return app


DETAILS: dict[str, Any] = {
    "mapping": {"code": "E1", "fields": ["a", 2, None]},
    "sequence": [{"loc": ["a"], "msg": "b"}],
    "text": "Said.",
    "number": 7,
}


@pytest.mark.parametrize(
    ("code", "slug"),
    [
        (400, "bad-request"),
        (402, "payment-required"),
        (418, "i-m-a-teapot"),
        (460, "status-460"),
        (499, "status-499"),
        (500, "internal"),
        (599, "status-599"),
    ],
)
async def test_any_status_of_an_http_exception_is_kept(
    client: AsyncClient, code: int, slug: str
) -> None:
    """Also one that no RFC knows; its document has the detail, and its headers are kept."""
    response = await client.get(f"/status/{code}")

    assert (response.status_code, response.headers["x-why"]) == (code, "because")
    assert (response.json()["type"], response.json()["detail"]) == (f"/problems/{slug}", "said")


@pytest.mark.parametrize("code", [204, 205, 304])
async def test_a_status_without_a_body_has_none(client: AsyncClient, code: int) -> None:
    """Nothing is sent after the headers (RFC 9110 section 6.4.1)."""
    response = await client.get(f"/status/{code}")

    assert (response.status_code, response.content) == (code, b"")
    assert response.headers["x-why"] == "because"
    assert "content-type" not in response.headers


@pytest.mark.parametrize("kind", DETAILS)
async def test_any_detail_is_kept(client: AsyncClient, kind: str) -> None:
    """A mapping or a list reaches the client where it would without neonkit."""
    response = await client.get(f"/detail/{kind}")

    assert response.headers["content-type"] == "application/problem+json"
    assert response.json()["detail"] == DETAILS[kind]
