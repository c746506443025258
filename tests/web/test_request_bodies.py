"""Bodies: refused as documented, whatever kind they are and in however many parts they come."""

from collections.abc import AsyncIterator
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, File, Form, Request, UploadFile
from fastapi.security import OAuth2PasswordRequestForm
from httpx2 import AsyncClient

import neonkit
from neonkit import InputModel, Settings
from neonkit.web import OptionalIdempotencyKey

MOST = 20_000
FORM = "application/x-www-form-urlencoded"
MULTIPART = "multipart/form-data; boundary=b"


class Anything(InputModel):
    """A body whose one field may be nested as the client likes."""

    value: Any


@pytest.fixture
def app() -> FastAPI:
    """An app that takes bodies of every kind."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test", max_body_bytes=MOST))

    @app.post("/anything")
    async def anything(body: Anything) -> str:
        return type(body.value).__name__

    @app.post("/keyed")
    async def keyed(request: Request, _key: OptionalIdempotencyKey) -> int:
        return len(await request.body())

    @app.post("/form")
    async def form(name: Annotated[str, Form()]) -> str:
        return name

    @app.post("/file")
    async def file(file: Annotated[UploadFile, File()]) -> int:
        return file.size or 0

    @app.post("/token")
    async def token(form: Annotated[OAuth2PasswordRequestForm, Depends()]) -> str:
        return form.password

    @app.post("/forgiving")
    async def forgiving(request: Request) -> str:
        try:
            return str(len(await request.body()))
        except Exception:  # noqa: BLE001  # the careless handler that this test is about
            return "all is well"

    return app


def _slug(response: object) -> str:
    kind: str = response.json()["type"]  # type: ignore[attr-defined]  # the client's own class
    return kind.rpartition("/")[2]


async def _parts(body: bytes, size: int) -> AsyncIterator[bytes]:
    for start in range(0, len(body), size):
        yield body[start : start + size]


def _nested(depth: int) -> bytes:
    arrays = b"[" * (depth - 1) + b"]" * (depth - 1)
    return b'{"value": %b}' % arrays


DEEP = {
    "65 levels": _nested(65),
    "600 levels": _nested(600),
    "950 levels": _nested(950),
    "objects": b'{"value":' * 300 + b"1" + b"}" * 300,
    "both": b'{"value":[' * 100 + b"]}" * 100,
    "never closed": b'{"value":' + b"[" * 9_000,
    "behind a text with brackets": b'{"text": "]]\\"]]", "value": ' + b"[" * 70 + b"]" * 70 + b"}",
}


@pytest.mark.parametrize("name", DEEP)
@pytest.mark.parametrize("size", [MOST, 7])
@pytest.mark.parametrize("headers", [{}, {"Idempotency-Key": "12345678"}], ids=["", "keyed"])
@pytest.mark.parametrize("kind", ["application/json", "application/vnd.api+json"])
async def test_json_that_is_nested_too_deeply(
    client: AsyncClient, kind: str, headers: dict[str, str], size: int, name: str
) -> None:
    """400 malformed-json beyond 64 levels, sent whole or in parts, under a key and without."""
    for path in ("/anything", "/keyed"):
        content = _parts(DEEP[name], size)
        answer = await client.post(path, content=content, headers={**headers, "Content-Type": kind})

        assert (answer.status_code, _slug(answer)) == (400, "malformed-json")


@pytest.mark.parametrize(
    "body",
    [
        _nested(64),
        b'{"value": "' + b"[{" * 500 + b'"}',
        b'{"value": [' + b"[]," * 500 + b"1]}",
        b'{"value": "' + b'\\"[' * 500 + b'"}',
    ],
    ids=["64 levels", "brackets in a text", "side by side", "behind quotes in a text"],
)
async def test_json_that_is_not_too_deep(client: AsyncClient, body: bytes) -> None:
    """64 levels are read; brackets inside of texts, and side by side, are no levels."""
    answer = await client.post(
        "/anything", content=body, headers={"Content-Type": "application/json"}
    )

    assert answer.status_code == 200


@pytest.mark.parametrize("depth", [65, 600, 950, 9_000])
@pytest.mark.parametrize("kind", ["text/plain", "text/json", "application/octet-stream", ""])
async def test_deep_json_of_another_type(client: AsyncClient, kind: str, depth: int) -> None:
    """It is no JSON for a model (415), and no fault where only its fingerprint is taken."""
    headers = {"Content-Type": kind, "Idempotency-Key": "12345678"}
    modelled = await client.post("/anything", content=_nested(depth), headers=headers)
    keyed = await client.post("/keyed", content=_nested(depth), headers=headers)

    assert (modelled.status_code, _slug(modelled)) == (415, "unsupported-media-type")
    assert keyed.status_code == 200


@pytest.mark.parametrize("path", ["/anything", "/form", "/file", "/token", "/forgiving", "/keyed"])
@pytest.mark.parametrize("kind", ["application/json", FORM, MULTIPART])
async def test_bodies_that_are_too_long(client: AsyncClient, path: str, kind: str) -> None:
    """413 by their length or once too much has come, whatever the route makes of the failure."""
    part = b'--b\r\nContent-Disposition: form-data; name="file"; filename="f"\r\n\r\n'
    body = (part if kind == MULTIPART else b"") + b"a" * (MOST + 1)
    whole = await client.post(path, content=body, headers={"Content-Type": kind})
    parts = await client.post(path, content=_parts(body, 1000), headers={"Content-Type": kind})

    assert (parts.status_code, _slug(parts)) == (413, "payload-too-large")
    assert (whole.status_code, _slug(whole)) == (413, "payload-too-large")


async def test_a_password_form_is_not_multipart(client: AsyncClient) -> None:
    """415 without a look at its parts; other forms may come either way."""
    part = b'--b\r\nContent-Disposition: form-data; name="%b"\r\n\r\nvalue\r\n'
    for path, status in (("/token", 415), ("/form", 200)):
        body = part % b"name" + part % b"username" + part % b"password" + b"--b--\r\n"
        answer = await client.post(path, content=body, headers={"Content-Type": MULTIPART})

        assert answer.status_code == status, answer.text


@pytest.mark.parametrize(
    ("body", "given"),
    [
        (b"name=caf%C3%A9", "café"),
        (b"name=a+b%2B%00", "a b+\0"),
        (b"name=%ff%fe", None),
        (b"name=%ed%a0%80", None),
        (b"%c0%af=1&name=a", None),
        ("name=café".encode(), None),
    ],
)
async def test_forms_are_utf_8(client: AsyncClient, body: bytes, given: str | None) -> None:
    """Escapes that are no UTF-8, and bytes beyond ASCII, are 422: FastAPI would replace them."""
    answer = await client.post("/form", content=body, headers={"Content-Type": FORM})

    assert answer.status_code == (422 if given is None else 200)
    assert given is None or answer.json() == given
