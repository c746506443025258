"""`BodyMiddleware` on an app that has nothing else of neonkit's."""

from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import ASGITransport, AsyncClient
from starlette.types import ASGIApp, Receive, Scope, Send

from neonkit.web import BodyMiddleware

MOST = 1_000
JSON = {"Content-Type": "application/json"}


def _with_fastapi() -> ASGIApp:
    app = FastAPI()
    app.add_middleware(BodyMiddleware, most_bytes=MOST)

    @app.post("/")
    async def count(body: dict[str, Any]) -> int:
        return len(body)

    return app


async def _counting(scope: Scope, receive: Receive, send: Send) -> None:
    """An ASGI app without a framework."""
    assert scope["type"] == "http"
    more = True
    while more:
        more = (await receive()).get("more_body", False)
    headers = [(b"content-type", b"application/json")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": b"1"})


def _without_a_framework() -> ASGIApp:
    return BodyMiddleware(_counting, most_bytes=MOST)


async def _in_parts() -> AsyncIterator[bytes]:
    for _ in range(MOST):
        yield b"[ ]"


REFUSED: dict[str, tuple[dict[str, Any], tuple[int, str]]] = {
    "a key twice": ({"content": b'{"a": 1, "a": 2}'}, (400, "malformed-json")),
    "NaN": ({"content": b'{"a": NaN}'}, (400, "malformed-json")),
    "UTF-16": ({"content": "{}".encode("utf-16")}, (400, "malformed-json")),
    "nested": ({"content": b"[" * 400 + b"]" * 400}, (400, "malformed-json")),
    "too long": ({"content": b"1" * 1_001}, (413, "payload-too-large")),
    "too long, in parts": ({"content": _in_parts}, (413, "payload-too-large")),
    "compressed": (
        {"content": b"{}", "headers": {**JSON, "Content-Encoding": "gzip"}},
        (415, "unsupported-media-type"),
    ),
    "a charset": (
        {"content": b"{}", "headers": {"Content-Type": "application/json; charset=utf-7"}},
        (415, "unsupported-media-type"),
    ),
    "a form that is no UTF-8": (
        {
            "content": b"a=%ff",
            "headers": {"Content-Type": "application/x-www-form-urlencoded"},
        },
        (422, "validation-error"),
    ),
}


@pytest.mark.parametrize("name", REFUSED)
@pytest.mark.parametrize("make", [_with_fastapi, _without_a_framework])
async def test_it_refuses_by_itself(make: Callable[[], ASGIApp], name: str) -> None:
    """The same problem documents as under `install`, with the client's request id."""
    options, expected = REFUSED[name]
    content = options.get("content")
    sent = {**options, "content": content()} if callable(content) else options
    headers = {"X-Request-ID": "mine", **options.get("headers", JSON)}
    transport = ASGITransport(make())
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post("/", **{**sent, "headers": headers})

    assert answer.headers["content-type"] == "application/problem+json"
    assert (answer.status_code, answer.json()["type"].rpartition("/")[2]) == expected
    assert answer.json()["instance"] == "mine"


@pytest.mark.parametrize("make", [_with_fastapi, _without_a_framework])
async def test_it_lets_strict_json_pass(make: Callable[[], ASGIApp]) -> None:
    """Unchanged."""
    transport = ASGITransport(make())
    async with AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post("/", content=b'{"a": [1, {"b": null}]}', headers=JSON)

    assert (answer.status_code, answer.json()) == (200, 1)
