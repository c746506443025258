"""Errors become problem documents, whatever raised them."""

from typing import Annotated

import pytest
from fastapi import Body, FastAPI, HTTPException
from httpx2 import AsyncClient
from sqlalchemy import text
from sqlmodel import Field

import neonkit
from neonkit import InputModel, SessionDep, Settings
from neonkit.errors import NotFoundError, ProblemError
from neonkit.web import raises


class OutOfStockError(ProblemError):
    """There is none left."""

    detail = "There is none left."


class ForeignError(Exception):
    """An error of somebody else's, whose text is not for clients."""


class Order(InputModel):
    """What is ordered."""

    item: str
    count: int = Field(le=1_000_000)


@pytest.fixture
def app() -> FastAPI:
    """An app that fails in many ways."""
    app = FastAPI()
    settings = Settings(cors_origins=["https://front.example"], environment="test")
    neonkit.install(app, settings)
    neonkit.add_problem(app, OutOfStockError, 409, "out-of-stock")
    neonkit.add_problem(app, ForeignError, 418, "teapot")

    @app.post("/orders", openapi_extra=raises(NotFoundError, OutOfStockError))
    async def order(body: Order) -> None:
        if body.item == "missing":
            raise NotFoundError
        raise OutOfStockError

    @app.get("/boom")
    async def boom() -> None:
        raise RuntimeError("secret-in-the-text")

    @app.get("/foreign")
    async def foreign() -> None:
        raise ForeignError("secret-in-the-text")

    @app.get("/http")
    async def http() -> None:
        raise HTTPException(404, "No such page.", {"X-Why": "because"})

    @app.get("/slow-query")
    async def slow_query(session: SessionDep) -> None:
        await session.exec(text("SET LOCAL statement_timeout = 50"))  # type: ignore[call-overload]  # SQLModel types exec for selects
        await session.exec(text("SELECT pg_sleep(5)"))  # type: ignore[call-overload]  # as above

    @app.post("/echo")
    def echo(value: Annotated[int, Body()]) -> int:
        return value

    return app


async def test_our_errors_are_documents_with_the_request_id(client: AsyncClient) -> None:
    """An error of ours answers with its status, its slug and the request's id."""
    response = await client.post("/orders", json={"item": "missing", "count": 1})

    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
    assert response.json() == {
        "type": "/problems/not-found",
        "title": "Not found",
        "status": 404,
        "detail": "There is no such resource.",
        "instance": response.headers["x-request-id"],
    }


async def test_added_errors_answer_with_their_slug(client: AsyncClient) -> None:
    """A user's error class answers as `add_problem` says."""
    response = await client.post("/orders", json={"item": "unicorn", "count": 1})

    assert response.status_code == 409
    assert response.json()["type"] == "/problems/out-of-stock"
    assert response.json()["detail"] == "There is none left."


async def test_a_foreign_error_is_not_quoted(client: AsyncClient) -> None:
    """The text of an error that is not a ProblemError never reaches the client."""
    response = await client.get("/foreign")

    assert response.status_code == 418
    assert "secret" not in response.text


async def test_a_defect_is_a_500_inside_of_cors(
    client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """Any exception answers `internal` with all headers, and is logged with its route."""
    response = await client.get("/boom", headers={"Origin": "https://front.example"})

    assert response.status_code == 500
    assert response.json()["type"] == "/problems/internal"
    assert "secret" not in response.text
    assert response.headers["access-control-allow-origin"] == "https://front.example"
    assert response.headers["x-content-type-options"] == "nosniff"
    assert any("GET /boom" in record.getMessage() for record in caplog.records)


async def test_validation_points_at_the_field(client: AsyncClient) -> None:
    """A refused body names each field by an RFC 6901 pointer, and never repeats a value."""
    response = await client.post(
        "/orders", json={"item": 5, "count": "rejected", "a/b~c": "rejected"}
    )

    assert response.status_code == 422
    assert response.json()["type"] == "/problems/validation-error"
    pointers = {error["pointer"] for error in response.json()["errors"]}
    assert pointers == {"/body/item", "/body/count", "/body/a~1b~0c"}
    assert "rejected" not in response.text


async def test_a_lone_surrogate_in_a_field_name_stays_valid_utf8(client: AsyncClient) -> None:
    """An error body is valid UTF-8 even where it must name the client's own field."""
    response = await client.post(
        "/orders",
        content=rb'{"item": "a", "count": 1, "\ud800": 1}',
        headers={"Content-Type": "application/json"},
    )

    assert response.status_code == 422
    response.content.decode("utf-8")


async def test_http_exceptions_keep_their_headers(client: AsyncClient) -> None:
    """Starlette's HTTPException becomes a document and keeps its headers."""
    response = await client.get("/http")

    assert response.status_code == 404
    assert response.json()["detail"] == "No such page."
    assert response.headers["x-why"] == "because"


@pytest.mark.parametrize(
    ("method", "path", "status", "slug"),
    [("GET", "/nowhere", 404, "not-found"), ("PUT", "/boom", 405, "method-not-allowed")],
)
async def test_routing_answers_with_documents(
    client: AsyncClient, method: str, path: str, status: int, slug: str
) -> None:
    """What no route takes is a problem document too; 405 names what is allowed."""
    response = await client.request(method, path)

    assert response.status_code == status
    assert response.json()["type"] == f"/problems/{slug}"
    assert status != 405 or response.headers["allow"] == "GET"


async def test_a_statement_timeout_is_504(client: AsyncClient) -> None:
    """A statement that the server stops is a timeout, not a defect."""
    response = await client.get("/slow-query")

    assert response.status_code == 504
    assert response.json()["type"] == "/problems/timeout"


async def test_plain_functions_work_as_routes(client: AsyncClient) -> None:
    """A `def` route runs in a thread, with the same treatment around it."""
    response = await client.post("/echo", json=7)

    assert response.json() == 7
    assert response.headers["x-request-id"]


@pytest.mark.parametrize(
    ("body", "content_type", "status", "slug"),
    [
        (b'{"item": "a", "item": "b", "count": 1}', "application/json", 400, "malformed-json"),
        (b'{"item": "a", "count": NaN}', "application/json", 400, "malformed-json"),
        (b'{"item": "a", "count": -Infinity}', "application/json", 400, "malformed-json"),
        (b'{"item": "\xc0\xaf", "count": 1}', "application/json", 400, "malformed-json"),
        (b'{"item": "\xed\xa0\x80", "count": 1}', "application/json", 400, "malformed-json"),
        ('{"item": "a", "count": 1}'.encode("utf-16"), "application/json", 400, "malformed-json"),
        ('{"item": "a", "count": 1}'.encode("utf-32"), "application/json", 400, "malformed-json"),
        (b'\xef\xbb\xbf{"item": "a", "count": 1}', "application/json", 400, "malformed-json"),
        (b"[" * 60_000, "application/json", 400, "malformed-json"),
        (b'{"a":' * 12_000, "application/json", 400, "malformed-json"),
        (b'{"item": "a", "count": 1} {}', "application/json", 400, "malformed-json"),
        (b"{'item': 'a'}", "application/json", 400, "malformed-json"),
        (b'{"item": "a" /* */}', "application/json", 400, "malformed-json"),
        (b'{"item": "a", "count": 1', "application/json", 400, "malformed-json"),
        (
            b'{"item": "a", "count": 1}',
            "application/json; charset=utf-7",
            415,
            "unsupported-media-type",
        ),
        (b'{"item": "a", "count": 1}', "text/plain", 415, "unsupported-media-type"),
        (b"--x\r\n\r\n--x--", "multipart/form-data; boundary=x", 415, "unsupported-media-type"),
        (
            b'{"item": "a", "count": ' + b"9" * 5000 + b"}",
            "application/json",
            400,
            "malformed-json",
        ),
        (
            b'{"item": "a", "count": 1' + b"0" * 400 + b"}",
            "application/json",
            422,
            "validation-error",
        ),
        (b"x" * 70_000, "application/json", 413, "payload-too-large"),
    ],
)
async def test_hostile_bodies(
    client: AsyncClient, body: bytes, content_type: str, status: int, slug: str
) -> None:
    """A body that is not one strict JSON document of bounded size is refused by its kind."""
    response = await client.post("/orders", content=body, headers={"Content-Type": content_type})

    assert (response.status_code, response.json()["type"]) == (status, f"/problems/{slug}")
    assert (await client.post("/echo", json=1)).status_code == 200


async def test_a_compressed_body_is_not_inflated(client: AsyncClient) -> None:
    """A Content-Encoding is refused before anything is read."""
    response = await client.post(
        "/orders",
        content=b"\x1f\x8b",
        headers={"Content-Type": "application/json", "Content-Encoding": "gzip"},
    )

    assert response.status_code == 415


async def test_every_operation_documents_its_problems(client: AsyncClient) -> None:
    """The schema lists the problems that a route raises, and those that any route can give."""
    schema = (await client.get("/openapi.json")).json()

    order = schema["paths"]["/orders"]["post"]
    assert order["operationId"] == "order"
    assert set(order["responses"]) >= {
        "200", "400", "404", "409", "413", "415", "422", "500", "503", "504",
    }  # fmt: skip
    for status in ("404", "409", "422"):
        assert list(order["responses"][status]["content"]) == ["application/problem+json"]
    assert "HTTPValidationError" not in schema["components"]["schemas"]
