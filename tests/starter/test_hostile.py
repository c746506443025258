"""Hostile input to users and posts: refused with a problem that tells nothing, never a 500."""

import json
from collections.abc import AsyncIterator

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from pydantic import model_validator
from sqlmodel import SQLModel, func, select, text

import neonkit
from neonkit import Database, InputModel, Settings, UtcDateTime
from starter.conftest import Call, slug_of

JSON = {"Content-Type": "application/json"}
POST = {"title": "A title", "content": "Some content"}
USER = {
    "username": "mallory",
    "email": "mallory@example.com",
    "password": "analytical engines run on steam",
}
IDLE = "SELECT count(*) FROM pg_stat_activity WHERE state LIKE 'idle in transaction%'"


async def _holds(call: Call, db: Database) -> None:
    """The service works as before, and no session was left inside a transaction."""
    after = await call("POST /posts", "ada", json=POST)
    assert after.status_code == 201
    async with db.session() as session:
        own = func.pg_backend_pid()
        mine = text(f"{IDLE} AND pid <> pg_backend_pid() AND datname = current_database()")
        assert (await (await session.connection()).execute(mine)).scalar_one() == 0
        assert (await session.exec(select(own))).one()


def _in_title(value: str) -> bytes:
    return f'{{"title": "{value}", "content": "c"}}'.encode()


BODIES: dict[str, tuple[bytes, dict[str, str], int, str]] = {
    "NUL": (_in_title("a\\u0000b"), JSON, 422, "validation-error"),
    "lone surrogate": (_in_title("\\ud800"), JSON, 422, "validation-error"),
    "lone surrogate as a name": (b'{"\\ud800": 1}', JSON, 422, "validation-error"),
    "UTF-16": (json.dumps(POST).encode("utf-16"), JSON, 400, "malformed-json"),
    "UTF-32": (json.dumps(POST).encode("utf-32"), JSON, 400, "malformed-json"),
    "byte order mark": (b"\xef\xbb\xbf" + json.dumps(POST).encode(), JSON, 400, "malformed-json"),
    "UTF-7": (
        json.dumps(POST).encode("utf-7"),
        {"Content-Type": "application/json; charset=utf-7"},
        415,
        "unsupported-media-type",
    ),
    "overlong": (b'{"title": "\xc0\xaf", "content": "c"}', JSON, 400, "malformed-json"),
    "CESU-8": (b'{"title": "\xed\xa0\x80\xed\xb0\x80"}', JSON, 400, "malformed-json"),
    "key twice": (b'{"title": "a", "title": "b", "content": "c"}', JSON, 400, "malformed-json"),
    "key in another case": (
        b'{"title": "a", "Title": "b", "content": "c"}',
        JSON,
        422,
        "validation-error",
    ),
    "nested arrays": (b"[" * 30_000 + b"]" * 30_000, JSON, 400, "malformed-json"),
    "nested objects": (b'{"a":' * 10_000 + b"1" + b"}" * 10_000, JSON, 400, "malformed-json"),
    "trailing text": (b'{"title": "a", "content": "c"} x', JSON, 400, "malformed-json"),
    "two documents": (b'{"title": "a"}{"title": "b"}', JSON, 400, "malformed-json"),
    "comment": (b'{"title": "a" /* b */}', JSON, 400, "malformed-json"),
    "single quotes": (b"{'title': 'a'}", JSON, 400, "malformed-json"),
    "NaN": (b'{"title": NaN, "content": "c"}', JSON, 400, "malformed-json"),
    "huge integer": (b'{"title": 1' + b"0" * 400 + b"}", JSON, 422, "validation-error"),
    "integer of 5,000 digits": (b'{"title": ' + b"9" * 5000 + b"}", JSON, 400, "malformed-json"),
    "not an object": (b'["title"]', JSON, 422, "validation-error"),
    "nothing": (b"", JSON, 422, "validation-error"),
    "too long": (b'"' + b"a" * 65_535 + b'"', JSON, 413, "payload-too-large"),
    "compressed": (
        b"\x1f\x8b",
        {**JSON, "Content-Encoding": "gzip"},
        415,
        "unsupported-media-type",
    ),
    "form": (
        b"title=a&content=b",
        {"Content-Type": "application/x-www-form-urlencoded"},
        415,
        "unsupported-media-type",
    ),
    "many parts": (
        b"--b\r\n\r\n" * 8_000,
        {"Content-Type": "multipart/form-data; boundary=b"},
        415,
        "unsupported-media-type",
    ),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("route", ["POST /posts", "PATCH /posts/{post}"])
async def test_bodies(call: Call, db: Database, route: str, name: str) -> None:
    """B.1 and B.3: the status and slug of the row, nothing told; then all is well."""
    content, headers, status, slug = BODIES[name]
    answer = await call(route, "ada", content=content, headers=headers)

    assert (answer.status_code, slug_of(answer)) == (status, slug)
    assert answer.content.decode("utf-8")
    for told in ("Traceback", "pydantic", "asyncpg", "INSERT", "neonkit", "CESU"):
        assert told not in answer.text
    assert (await call("GET /posts/{post}")).json()["title"] == "On looms"
    await _holds(call, db)


async def test_a_body_without_a_length_is_refused_once_it_is_too_long(call: Call) -> None:
    """Chunked: 413, and the connection is good for the next request."""

    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(3_000):
            yield b"a" * 1024

    answer = await call("POST /posts", "ada", content=chunks(), headers=JSON)

    assert (answer.status_code, slug_of(answer)) == (413, "payload-too-large")
    assert (await call("GET /posts")).status_code == 200


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("q=%00", 422),
        ("q=%ff%fe", 422),
        ("q=%ed%a0%80", 422),
        ("q=" + "a" * 201, 422),
        ("q=" + "a" * 8_000, 422),
        ("q=" + "a" * 10_000, 414),
        ("q=", 422),
        ("limit=-1", 422),
        ("limit=0", 422),
        ("offset=-1", 422),
        ("offset=9223372036854775808", 422),
        ("limit=1&limit=1000000", 422),
        ("colour=red", 422),
        ("%00=1", 422),
        ("cursor=%00", 422),
        ("cursor=abc", 422),
        ("cursor=" + "A" * 6000, 422),
        ("cursor=abc&offset=1", 422),
        ("sort=id%3B%20DROP%20TABLE%20users", 422),
        ("sort=id,id", 422),
        ("total=1", 422),
        ("q=(a%2B)%2B%24" * 1, 200),
        ("q=" + "%25a" * 100, 200),
        ("q=%5C", 200),
        ("q=%25", 200),
        ("q=_", 200),
        ("q='%20OR%201%3D1%20--", 200),
    ],
)
@pytest.mark.parametrize(("route", "who"), [("GET /posts", "nobody"), ("GET /users", "admin")])
async def test_queries(
    call: Call, db: Database, route: str, who: str, query: str, status: int
) -> None:
    """B.2 and B.5: what cannot be meant is 422; what looks like a pattern is found literally."""
    answer = await call(f"{route}?{query}", who)

    assert answer.status_code == status, answer.text
    if status == 414:
        assert slug_of(answer) == "uri-too-long"
    elif status == 422:
        assert slug_of(answer) in {"validation-error", "invalid-cursor"}
    else:
        assert answer.json()["items"] == []
    await _holds(call, db)


@pytest.mark.parametrize(
    ("first", "second", "pointer"),
    [
        ({"username": "Alice"}, {"username": "alice"}, "/body/username"),
        ({"email": "Alice@example.com"}, {"email": "aLICE@EXAMPLE.com"}, "/body/email"),
        ({"email": "ÉVE@example.com"}, {"email": "éve@example.com"}, "/body/email"),
    ],
)
async def test_names_are_one_whatever_their_case(
    call: Call, first: dict[str, str], second: dict[str, str], pointer: str
) -> None:
    """B.1: the second is 409 duplicate."""
    other = {"username": "other", "email": "other@example.com"}
    made = await call("POST /users", json={**USER, **first})
    answer = await call("POST /users", json={**USER, **other, **second})

    assert made.status_code == 201
    assert (answer.status_code, slug_of(answer)) == (409, "duplicate")
    assert answer.json()["errors"][0]["pointer"] == pointer


@pytest.mark.parametrize(
    "name", ["e\u0301ve", "\u0130stanbul", "\u0131stanbul", "straße", "\ufb01ne"]
)
@pytest.mark.parametrize("field", ["username", "email"])
async def test_names_that_fold_strangely(call: Call, field: str, name: str) -> None:
    """B.1: refused when they register, or found again as the same account."""
    value = name if field == "username" else f"{name}@example.com"
    made = await call("POST /users", json={**USER, field: value})
    again = await call("POST /users", json={**USER, "username": "other", field: value})

    assert (made.status_code, again.status_code) in {(422, 422), (201, 409)}


@pytest.mark.parametrize("accept", ["text/html;q=zero", ";;;", "*/*", "application/xml"])
async def test_accept_headers(call: Call, accept: str) -> None:
    """B.3: 406 where it is well-formed and leaves out JSON, else JSON."""
    answer = await call("GET /posts/{post}", headers={"Accept": accept})

    if accept == "application/xml":
        assert (answer.status_code, slug_of(answer)) == (406, "not-acceptable")
    else:
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_a_body_where_none_is_read(call: Call, method: str) -> None:
    """B.3: ignored, and the connection stays usable."""
    answer = await call(f"{method} /posts/{{post}}", "ada", content=b'{"a": 1}', headers=JSON)

    assert answer.status_code in {200, 204}
    assert (await call("GET /posts")).status_code == 200


@pytest.mark.parametrize(
    "path", ["/users/", "//users", "/users//", "/Users", "/posts/1/", "/%2e%2e/users"]
)
async def test_paths_that_are_not_there(call: Call, path: str) -> None:
    """No redirect that could carry credentials elsewhere: 404."""
    answer = await call(f"GET {path}", "admin")

    assert (answer.status_code, slug_of(answer)) == (404, "not-found")


async def test_other_methods_are_named(call: Call) -> None:
    """405, with what is allowed."""
    answer = await call("PUT /posts/{post}", "ada", json=POST)

    assert (answer.status_code, slug_of(answer)) == (405, "method-not-allowed")
    assert answer.headers["allow"] == "DELETE, GET, PATCH"


class Meeting(InputModel):
    """Something with a beginning and an end."""

    begins: UtcDateTime
    ends: UtcDateTime | None = None

    @model_validator(mode="after")
    def _in_order(self) -> "Meeting":
        if self.ends is not None and self.ends < self.begins:
            raise ValueError("it ends before it begins")
        return self


class MeetingRead(SQLModel):
    """The same, as it is given back."""

    begins: UtcDateTime


@pytest.fixture
def calendar() -> FastAPI:
    """An app that takes times."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))

    @app.post("/meetings", response_model=MeetingRead)
    async def plan(body: Meeting) -> Meeting:
        return body

    return app


@pytest.fixture
def app(request: pytest.FixtureRequest) -> FastAPI:
    """The starter; the calendar for the tests that ask for it."""
    if "calendar" in request.fixturenames:
        found: FastAPI = request.getfixturevalue("calendar")
        return found
    from neonkit_starter.app import create_app
    from neonkit_starter.settings import StarterSettings

    return create_app(StarterSettings(environment="test"))


@pytest.mark.parametrize(
    ("begins", "given"),
    [
        ("2026-01-31T12:00:00Z", "2026-01-31T12:00:00Z"),
        ("2026-01-31T12:00:00+05:30", "2026-01-31T06:30:00Z"),
        ("9999-12-31T23:59:59-23:59", None),
        ("0001-01-01T00:00:00+14:00", None),
        ("2026-01-31T12:00:00", None),
        ("2026-02-30T12:00:00Z", None),
        ("1767225600", None),
        (1767225600, None),
        (1e18, None),
        (True, None),
        ("yesterday", None),
    ],
)
@pytest.mark.usefixtures("calendar")
async def test_times(client: AsyncClient, begins: object, given: str | None) -> None:
    """B.4: an aware time within the years 1 to 9999 in UTC, else 422 with the field."""
    answer = await client.post("/meetings", json={"begins": begins})

    if given:
        assert (answer.status_code, answer.json()["begins"]) == (200, given)
    else:
        assert (answer.status_code, slug_of(answer)) == (422, "validation-error")
        assert answer.json()["errors"][0]["pointer"] == "/body/begins"


@pytest.mark.usefixtures("calendar")
async def test_a_range_that_ends_before_it_begins(client: AsyncClient) -> None:
    """B.4: 422."""
    body = {"begins": "2026-01-31T12:00:00Z", "ends": "2026-01-31T12:30:00+01:00"}
    answer = await client.post("/meetings", json=body)

    assert (answer.status_code, slug_of(answer)) == (422, "validation-error")
