"""Heads of requests: bounded and read in linear time, before anything of the app sees them."""

import encodings
from secrets import token_hex
from typing import Annotated

import pytest
from fastapi import Depends, FastAPI, Form, Query, Request
from httpx2 import AsyncClient
from pydantic import BaseModel

import neonkit
from neonkit import InputModel, Settings
from neonkit.web import strict_parameters
from neonkit.web._media_types import read_media_type

JSON = [("Content-Type", "application/json")]
MALFORMED = "malformed-header"


class Order(InputModel):
    """What is ordered."""

    item: str


class Filters(BaseModel):
    """A model of parameters, for which FastAPI looks at every other parameter too."""

    colour: str | None = None


@pytest.fixture
def app() -> FastAPI:
    """An app with a body, a query, a form, and a route that reads whatever comes."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))

    @app.get("/search", dependencies=[Depends(strict_parameters)])
    async def search(q: str = "") -> str:
        return q

    @app.get("/filtered")
    async def filtered(filters: Annotated[Filters, Query()]) -> str | None:
        return filters.colour

    @app.post("/orders")
    async def order(body: Order) -> str:
        return body.item

    @app.post("/forms")
    async def form(name: Annotated[str, Form()]) -> str:
        return name

    @app.post("/raw")
    async def raw(request: Request) -> int:
        return len(await request.body())

    return app


def _slug(response: object) -> str:
    kind: str = response.json()["type"]  # type: ignore[attr-defined]  # the client's own class
    return kind.rpartition("/")[2]


READ = [
    (b"application/json", "application/json", {}),
    (b"APPLICATION/Json ; Charset=UTF-8", "application/json", {"charset": "UTF-8"}),
    (b'application/json;charset="utf-8"', "application/json", {"charset": "utf-8"}),
    (rb'application/json; charset="u\tf-8"', "application/json", {"charset": "utf-8"}),
    (b"application/json;", "application/json", {}),
    (b"application/json ; ; a=b", "application/json", {"a": "b"}),
    (b'multipart/form-data; boundary="a;b\\"c=d"', "multipart/form-data", {"boundary": 'a;b"c=d'}),
    (b"application/vnd.api+json;v=1", "application/vnd.api+json", {"v": "1"}),
    (b"", "", {}),
]


@pytest.mark.parametrize(("value", "essence", "parameters"), READ)
def test_media_types_are_read(value: bytes, essence: str, parameters: dict[str, str]) -> None:
    """RFC 9110: no case in type, subtype and names; values are tokens or quoted strings."""
    found = read_media_type(value)

    assert (found.essence, found.parameters) == (essence, parameters)


REFUSED = {
    "separators": b'application/json;"' + b";" * 200,
    "longer than 256 bytes": b"application/json;a=" + b"b" * 238,
    "no subtype": b"application",
    "empty subtype": b"application/",
    "two types": b"application/json, text/html",
    "a parameter twice": b"application/json; charset=utf-8; charset=utf-16",
    "a parameter twice, in another case": b"application/json; charset=utf-8; CHARSET=utf-16",
    "a parameter of mail": b"application/json; charset*=utf-7''x",
    "a parameter of mail, in parts": b"application/json; charset*0=utf; charset*1=-7",
    "an open quote": b'application/json; charset="utf-8',
    "blank around =": b"application/json; charset =utf-8",
    "a control character": b"application/json; a=\x01",
    "a byte beyond ASCII": b"application/json; a=\xff",
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("path", ["/orders", "/forms", "/raw"])
async def test_a_content_type_that_is_none(client: AsyncClient, name: str, path: str) -> None:
    """415, with a body and without one."""
    for body in (b"", b'{"item": "a"}'):
        headers = {b"Content-Type": REFUSED[name]}
        answer = await client.post(path, content=body, headers=headers)

        assert (answer.status_code, _slug(answer)) == (415, "unsupported-media-type")


@pytest.mark.parametrize(
    "charset",
    ["utf-7", "UTF-16", "latin-1", "unicode_escape", "idna", "x" * 200, '"utf-16"', '""', "zip"],
)
@pytest.mark.parametrize(
    "kind",
    ["application/json", "application/x-www-form-urlencoded", "multipart/form-data; boundary=b"],
)
async def test_a_charset_that_is_not_utf_8(client: AsyncClient, kind: str, charset: str) -> None:
    """415 for JSON and for both kinds of form; the name is compared, never looked up."""
    path = "/orders" if "json" in kind else "/forms"
    headers = {"Content-Type": f"{kind}; charset={charset}"}
    answer = await client.post(path, content=b"x", headers=headers)

    assert (answer.status_code, _slug(answer)) == (415, "unsupported-media-type")


@pytest.mark.parametrize("kind", ["application/json", "text/plain", "multipart/form-data"])
async def test_names_of_charsets_are_not_kept(client: AsyncClient, kind: str) -> None:
    """CPython keeps each name that was ever looked up: none that a client sent is among them."""
    for path in ("/orders", "/forms", "/raw", "/nowhere"):
        for form in ("charset={}", "charset*={}''x", "boundary=b; charset={}"):
            headers = {"Content-Type": f"{kind}; {form.format('made_up_' + token_hex(8))}"}
            await client.post(path, content=b"--b--", headers=headers)

    kept = encodings._cache  # where CPython keeps them
    assert [name for name in kept if name.startswith("made_up")] == []


@pytest.mark.parametrize(
    ("headers", "status", "slug"),
    [
        ([("Content-Type", "text/plain"), ("content-type", "text/plain")], 400, MALFORMED),
        ([("If-Match", '"1"'), ("If-Match", '"2"')], 400, MALFORMED),
        ([("Authorization", "Bearer a"), ("Authorization", "Bearer b")], 400, MALFORMED),
        ([("Content-Length", "2"), ("Content-Length", "2")], 400, MALFORMED),
        ([*JSON, ("X-Tag", "1"), ("X-Tag", "2")], 422, "validation-error"),
        ([(f"X-{at}", "1") for at in range(101)], 431, "header-too-large"),
        ([("X-Long", "a" * 40_000)], 431, "header-too-large"),
    ],
)
async def test_header_lines(
    client: AsyncClient, headers: list[tuple[str, str]], status: int, slug: str
) -> None:
    """431 beyond 100 lines or 32 KiB; 400 where one stands twice that may stand once."""
    answer = await client.post("/orders", content=b"{}", headers=headers)

    assert (answer.status_code, _slug(answer)) == (status, slug)


@pytest.mark.parametrize("path", ["/search?q=", "/nowhere?", "/"])
async def test_a_target_that_is_too_long(client: AsyncClient, path: str) -> None:
    """414 beyond 8 KiB, for any path, and a problem document."""
    answer = await client.get(path + "a" * 8_200)

    assert (answer.status_code, _slug(answer)) == (414, "uri-too-long")
    assert answer.json()["instance"] == answer.headers["x-request-id"]


@pytest.mark.parametrize("path", ["/search", "/filtered", "/raw"])
async def test_too_many_parameters(client: AsyncClient, path: str) -> None:
    """422 beyond 256, named or not, counted before they are parsed."""
    answer = await client.request("POST" if path == "/raw" else "GET", path + "?" + "a&" * 300)

    assert (answer.status_code, _slug(answer)) == (422, "validation-error")
    assert answer.json()["errors"][0]["pointer"] == "/query"


async def test_repeated_and_unknown_parameters(client: AsyncClient) -> None:
    """Each is named once, however often it stands there."""
    answer = await client.get("/search?b&q=1&a&q=2&b&q=3")

    assert answer.status_code == 422
    assert [(each["pointer"], each["code"]) for each in answer.json()["errors"]] == [
        ("/query/b", "unknown"),
        ("/query/a", "unknown"),
        ("/query/q", "repeated"),
    ]
