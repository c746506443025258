"""What is told first, of several things that are wrong with a request; and what no route takes."""

from typing import Any

import pytest
from fastapi import APIRouter, Depends, FastAPI, HTTPException, Request
from fastapi.responses import HTMLResponse, PlainTextResponse
from httpx2 import AsyncClient, Response
from sqlalchemy import Select, column, literal, select, table

import neonkit
from neonkit import CallerDep, InputModel, Settings
from neonkit.web._media_types import admits_json

FRONT = "https://front.example"


class Crate(InputModel):
    """What is sent."""

    weight: int


def _nobody(subject: str) -> Select[*tuple[Any, ...]]:
    nobody = table("nobody", column("id"))
    return select(nobody.c.id, literal("user"), literal(value=True)).where(nobody.c.id == subject)


@pytest.fixture
def app() -> FastAPI:
    """An app whose paths have several methods, each a route of its own."""
    app = FastAPI()
    settings = Settings(environment="test", max_body_bytes=1000, cors_origins=[FRONT])
    neonkit.install(app, settings, principal=_nobody)
    router = APIRouter(prefix="/crates")

    @router.get("/{crate_id}")
    async def read(crate_id: int) -> int:
        return crate_id

    @router.patch("/{crate_id}")
    async def change(crate_id: int, body: Crate) -> int:
        return crate_id + body.weight

    @router.put("/{crate_id}")
    async def replace(crate_id: int, body: Crate, _me: CallerDep) -> int:
        return crate_id + body.weight

    @router.get("/special")
    async def special() -> dict[str, str]:
        return {}

    @app.get("/page", response_class=HTMLResponse)
    async def page() -> str:
        return "<p>"

    @app.get("/anything")
    async def anything() -> PlainTextResponse:
        return PlainTextResponse("text")

    @app.get("/refusing")
    async def refusing(request: Request) -> None:
        raise HTTPException(405, headers={"Allow": request.headers["x-allow"]})

    app.include_router(router, dependencies=[Depends(lambda: None)])
    return app


def _slug(answer: Response) -> tuple[int, str]:
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["instance"] == answer.headers["x-request-id"]
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


XML = {"Accept": "application/xml"}
TWICE = {"headers": [("Content-Type", "text/plain")] * 2}
FAULTS: dict[str, tuple[dict[str, Any], tuple[int, str]]] = {
    "nothing": ({}, (200, "")),
    "no media type": ({"headers": {"Content-Type": ";"}}, (415, "unsupported-media-type")),
    "another media type": (
        {"content": b"a", "headers": {"Content-Type": "text/plain"}},
        (415, "unsupported-media-type"),
    ),
    "charset": (
        {"content": b"1", "headers": {"Content-Type": "application/json; charset=x"}},
        (415, "unsupported-media-type"),
    ),
    "compressed": (
        {"content": b"1", "headers": {"Content-Encoding": "gzip"}},
        (415, "unsupported-media-type"),
    ),
    "no JSON": (
        {"content": b"{", "headers": {"Content-Type": "application/json"}},
        (400, "malformed-json"),
    ),
    "not valid": ({"json": {"weight": "heavy"}}, (422, "validation-error")),
    "a header twice": (TWICE, (400, "malformed-header")),
    "parameters": ({"params": "&" * 300}, (422, "validation-error")),
    "too large": ({"content": b"1" * 1001}, (413, "payload-too-large")),
    "wants XML": ({"json": {"weight": 1}, "headers": XML}, (406, "not-acceptable")),
    "wants XML, too large": ({"content": b"1" * 1001, "headers": XML}, (406, "not-acceptable")),
    "too long": ({"params": "a" * 9000}, (414, "uri-too-long")),
    "header too large": ({"headers": {"X-A": "a" * 40_000}}, (431, "header-too-large")),
}
BEFORE_THE_PATH = {414, 431}
BEFORE_THE_TOKEN = BEFORE_THE_PATH | {406, 413}


@pytest.mark.parametrize("name", FAULTS)
async def test_what_the_path_shows_comes_first(client: AsyncClient, name: str) -> None:
    """404 for a path that is not there, 405 with all of its methods for one that is."""
    options, (status, slug) = FAULTS[name]
    unknown = await client.post("/nowhere", **options)
    other = await client.post("/crates/7", **options)

    if status in BEFORE_THE_PATH:
        assert _slug(unknown) == _slug(other) == (status, slug)
    else:
        assert _slug(unknown) == (404, "not-found")
        assert _slug(other) == (405, "method-not-allowed")
        assert other.headers["allow"] == "GET, PATCH, PUT"


@pytest.mark.parametrize("name", FAULTS)
async def test_what_the_token_shows_comes_next(client: AsyncClient, name: str) -> None:
    """401 before any fault of the body; 406 and 413 before it."""
    options, (status, slug) = FAULTS[name]
    answer = await client.put("/crates/7", **options)

    expected = (status, slug) if status in BEFORE_THE_TOKEN else (401, "unauthorized")
    assert _slug(answer) == expected


@pytest.mark.parametrize("name", [name for name in FAULTS if name != "nothing"])
async def test_each_fault_alone(client: AsyncClient, name: str) -> None:
    """Where the path is there and asks for no token, the fault itself is told."""
    options, expected = FAULTS[name]

    assert _slug(await client.patch("/crates/7", **options)) == expected


@pytest.mark.parametrize(
    ("method", "path", "allow"),
    [
        ("POST", "/crates/7", "GET, PATCH, PUT"),
        ("OPTIONS", "/crates/7", "GET, PATCH, PUT"),
        ("HEAD", "/page", "GET"),
        ("TRACE", "/page", "GET"),
        ("BREW", "/crates/special", "GET, PATCH, PUT"),
        ("DELETE", "/health/live", "GET"),
    ],
)
async def test_allow_names_every_method(
    client: AsyncClient, method: str, path: str, allow: str
) -> None:
    """405 with the methods of all routes of the path, whichever of them comes first."""
    answer = await client.request(method, path)

    assert (answer.status_code, answer.headers["allow"]) == (405, allow)


async def test_a_routes_own_405_stays(client: AsyncClient) -> None:
    """What a handler says of itself is not looked into."""
    answer = await client.get("/refusing", headers={"X-Allow": "BREW"})

    assert (answer.status_code, answer.headers["allow"]) == (405, "BREW")


ACCEPTED = {
    "": True,
    "*/*": True,
    "application/json": True,
    "APPLICATION/JSON": True,
    "application/*": True,
    "application/json;q=0.001": True,
    "text/html, */*;q=0.1": True,
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8": True,
    'application/json; charset="utf-8"': True,
    ", application/json ,": True,
    " , ,": True,
    "application/xml": False,
    "text/html": False,
    "text/*": False,
    "application/json;q=0": False,
    "application/json;q=0.000, */*": False,
    "application/*;q=0, */*": False,
    "*/*;q=0": False,
    "application/vnd.api+json": False,
    "application/problem+json": False,
    # what cannot be read says nothing
    ";;;": True,
    "json": True,
    "text/html;q=": True,
    "application/xml x": True,
    "a" * 2000: True,
    ",  " * 2000 + "!": True,
    "application/json;q=zero": True,
    "text/html;q=zero": True,
    "text/html;q=1.1": True,
}


@pytest.mark.parametrize("accept", ACCEPTED)
def test_accept_is_read(accept: str) -> None:
    """The most specific range decides; one without weight is wanted."""
    assert admits_json(accept.encode()) is ACCEPTED[accept]


async def test_accept_counts_where_only_json_is_given(client: AsyncClient) -> None:
    """406 by the model that a route declares; pages, texts and what is unknown are left alone."""
    crate = await client.get("/crates/7", headers=XML)
    lines = [("Accept", "text/html"), ("Accept", "application/json")]
    both = await client.get("/crates/7", headers=lines)
    page = await client.get("/page", headers={"Accept": "text/html"})
    anything = await client.get("/anything", headers={"Accept": "text/plain"})

    assert _slug(crate) == (406, "not-acceptable")
    assert [each.status_code for each in (both, page, anything)] == [200, 200, 200]


@pytest.mark.parametrize(
    ("origin", "method", "status"),
    [(FRONT, "GET", 200), ("https://evil.example", "GET", 400), (FRONT, "BREW", 400)],
)
async def test_a_refused_preflight_is_a_document(
    client: AsyncClient, origin: str, method: str, status: int
) -> None:
    """It names no origin, and has the headers of every answer."""
    headers = {
        "Origin": origin,
        "Access-Control-Request-Method": method,
        "Access-Control-Request-Headers": "x-evil",
    }
    answer = await client.options("/crates/7", headers=headers)

    assert answer.status_code == status
    assert "evil.example" not in str(answer.headers) + answer.text
    if status == 400:
        assert _slug(answer) == (400, "malformed-header")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in answer.headers
        assert answer.headers["vary"] == "Origin"


def test_what_can_be_answered_is_documented(app: FastAPI) -> None:
    """406 where JSON is declared, 408 where there is a body."""
    paths = app.openapi()["paths"]

    assert {"406", "408"} <= set(paths["/crates/{crate_id}"]["patch"]["responses"])
    assert not {"406", "408"} & set(paths["/page"]["get"]["responses"])
