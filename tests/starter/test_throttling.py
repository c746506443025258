"""What was tried too often is refused: passwords, and writes of names and addresses."""

import asyncio
import logging
from collections import Counter
from functools import cache
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import text
from starlette.requests import HTTPConnection

from neonkit import Database
from neonkit.web import Runtime
from neonkit_starter.app import create_app
from neonkit_starter.settings import StarterSettings
from neonkit_starter.users.throttling import _at_any_account, _name_write
from starter.conftest import Call, slug_of

PASSWORD = "analytical engines run on steam"
GRACE = {"username": "grace", "email": "grace@example.com", "password": PASSWORD}
WRONG = "analytical engines run on coal"


@cache
def _app() -> FastAPI:
    settings = StarterSettings.model_validate({"environment": "test", "login_max_failures": 3})
    return create_app(settings)


@pytest.fixture
def app() -> FastAPI:
    """The starter with its limits on; counts begin anew with each test."""
    return _app()


async def login(call: Call, username: str = "grace", password: str = WRONG) -> httpx2.Response:
    """Try a password."""
    return await call("POST /auth/token", data={"username": username, "password": password})


async def shared(db: Database) -> list[int]:
    """What the database has of counts."""
    async with db.read_session() as session:
        rows = text("SELECT count FROM neonkit.throttles ORDER BY count")
        return list((await (await session.connection()).execute(rows)).scalars())


async def test_wrong_passwords_lock_an_account_for_an_address(
    call: Call, caplog: pytest.LogCaptureFixture
) -> None:
    """The right one too, before it is hashed, until the window is over; said once in the log."""
    await call("POST /users", json=GRACE)
    statuses = [(await login(call)).status_code for _ in range(3)]
    caplog.clear()
    with caplog.at_level(logging.WARNING, "neonkit.security"):
        answers = [await login(call, password=PASSWORD) for _ in range(2)]

    assert statuses == [401] * 3
    for answer in answers:
        assert (answer.status_code, slug_of(answer)) == (429, "rate-limited")
        assert 0 < int(answer.headers["retry-after"]) <= 300
        assert 'trips;desc="0"' in answer.headers["server-timing"]
    events = [getattr(record, "event", "") for record in caplog.records]
    assert events == ["too-many-attempts"]
    assert "grace" not in caplog.text
    assert (await login(call, "ada")).status_code == 401


async def test_names_that_nobody_has_are_counted_alike(call: Call) -> None:
    """A lock tells nothing of who is there."""
    statuses = [(await login(call, "nobody")).status_code for _ in range(4)]

    assert statuses == [401, 401, 401, 429]


async def test_one_password_over_many_accounts(call: Call) -> None:
    """Tenfold by address alone: another account's right password is refused then, too."""
    await call("POST /users", json=GRACE)
    statuses = Counter([(await login(call, f"name{n}")).status_code for n in range(31)])

    assert statuses == {401: 30, 429: 1}
    assert (await login(call, password=PASSWORD)).status_code == 429


async def test_right_passwords_are_not_counted(call: Call) -> None:
    """However often, from one address."""
    await call("POST /users", json=GRACE)
    answers = [await login(call, password=PASSWORD) for _ in range(5)]

    assert {answer.status_code for answer in answers} == {200}


async def test_many_at_once_get_no_more_tries(call: Call) -> None:
    """It is looked at again when it is a password's turn: only those that run then may be more."""
    await call("POST /users", json=GRACE)
    answers = await asyncio.gather(*(login(call) for _ in range(20)))
    statuses = Counter(answer.status_code for answer in answers)

    assert statuses[401] + statuses[429] == 20
    assert statuses[401] <= 3 + 8  # as many as may hash at once


async def test_counts_travel_with_the_next_login(call: Call, db: Database) -> None:
    """In the one statement that it sends anyway: by address, by account, by both."""
    await login(call)
    before = await shared(db)
    answers = [await login(call, "nobody") for _ in range(2)]

    assert (before, await shared(db)) == ([], [1, 1, 2])
    assert [answer.status_code for answer in answers] == [401, 401]


async def test_registrations_are_counted_by_address(call: Call, db: Database) -> None:
    """Thirty in a window, refused ones included; each in the one statement of its own."""
    taken = [await call("POST /users", json=GRACE) for _ in range(15)]
    named = [
        await call(
            "POST /users", json={**GRACE, "username": f"n{n}xx", "email": f"{n}@example.com"}
        )
        for n in range(16)
    ]
    statuses = Counter(answer.status_code for answer in (*taken, *named))

    assert statuses == {201: 16, 409: 14, 429: 1}
    assert slug_of(named[-1]) == "rate-limited"
    assert int(named[-1].headers["retry-after"]) <= 300
    assert {'trips;desc="1"' in answer.headers["server-timing"] for answer in named[2:-1]} == {True}
    assert await shared(db) == [30]


@pytest.mark.parametrize("route", ["PATCH /users/me", "PATCH /users/{ada}"])
async def test_a_change_of_address_tells_as_much_as_a_registration(call: Call, route: str) -> None:
    """It counts among them: which addresses are taken, a stranger learns thirty times a window."""
    probe = {"email": "bob@example.com", "username": "admin"}
    answers = [await call(route, "ada", json=probe) for _ in range(31)]

    assert [answer.status_code for answer in answers] == [409] * 30 + [429]
    assert (await call("POST /users", json=GRACE)).status_code == 429
    assert (await call("PATCH /users/{bob}", "admin", json={"role": "moderator"})).is_success


async def test_counts_of_another_worker_refuse_a_registration(call: Call, db: Database) -> None:
    """In its own statement, which makes nobody then."""
    async with db.session() as session:
        await call("POST /users", json=GRACE)
        await (await session.connection()).execute(text("UPDATE neonkit.throttles SET count = 30"))
        await session.commit()
    other = {**GRACE, "username": "other", "email": "other@example.com"}
    refused = await call("POST /users", json=other)

    assert (refused.status_code, slug_of(refused)) == (429, "rate-limited")
    async with db.session() as session:
        await (await session.connection()).execute(text("DELETE FROM neonkit.throttles"))
        await session.commit()
    assert (await call("POST /users", json=other)).status_code == 201


async def test_counts_of_another_worker_refuse_a_login(call: Call, db: Database) -> None:
    """Before the password is hashed, whether there is such a user or not."""
    await call("POST /users", json=GRACE)
    for name in ("grace", "nobody"):
        await login(call, name)
        await login(call, name)
    async with db.session() as session:
        await (await session.connection()).execute(text("UPDATE neonkit.throttles SET count = 30"))
        await session.commit()

    for name in ("grace", "nobody"):
        refused = await login(call, name, PASSWORD)
        assert (refused.status_code, slug_of(refused)) == (429, "rate-limited")


async def test_at_rest_is_neither_a_name_nor_an_address(call: Call, db: Database) -> None:
    """Digests under the signing key."""
    await login(call)
    await login(call)
    async with db.read_session() as session:
        rows = await (await session.connection()).execute(text("SELECT * FROM neonkit.throttles"))
        kept = str([tuple(row) for row in rows])

    assert "key" not in kept
    assert "grace" not in kept
    assert "127.0.0.1" not in kept


async def test_what_is_over_is_forgotten(call: Call, db: Database) -> None:
    """A window that has ended begins anew, and old rows go with new ones."""
    async with db.session() as session:
        old = """
            INSERT INTO neonkit.throttles (key, count, ends_at)
            SELECT decode(md5(n::text), 'hex'), 1, now() - interval '1 hour'
            FROM generate_series(1, 12) n
        """
        await (await session.connection()).execute(text(old))
        await session.commit()
    for number in range(2):
        name = f"grace{number}"
        await call("POST /users", json={**GRACE, "username": name, "email": f"{name}@example.com"})

    assert await shared(db) == [2]


BAD_BODIES: dict[str, dict[str, Any]] = {
    "no JSON": {"content": b"{", "headers": {"Content-Type": "application/json"}},
    "another media type": {"content": b"a", "headers": {"Content-Type": "text/plain"}},
    "not valid": {"json": {}},
    "a weak password": {"json": {**GRACE, "password": "aaaaaaaaaaaaaaaa"}},
    "an unknown parameter": {"json": GRACE, "params": {"colour": "red"}},
}


def _use_up(app: FastAPI) -> None:
    """Count as much as an address may try, of names and of passwords."""
    here = HTTPConnection({"type": "http", "app": app, "client": ("127.0.0.1", 1), "headers": []})
    for attempt in (*_name_write(here), *_at_any_account(here)):
        Runtime.of(app).throttles.add(*[attempt] * attempt.limit.most)


async def test_a_limit_is_told_before_what_is_wrong_with_the_input(
    app: FastAPI, call: Call
) -> None:
    """429 by address: before 400, 401, 415 and 422, and after 413."""
    _use_up(app)
    routes = ["POST /users", "POST /auth/token", "PATCH /users/me", "POST /auth/password"]
    told = {
        name: [slug_of(await call(route, **body)) for route in routes]
        for name, body in BAD_BODIES.items()
    }
    large = await call("POST /users", content=b"1" * 70_000)

    assert told == dict.fromkeys(BAD_BODIES, ["rate-limited"] * 4)
    assert slug_of(large) == "payload-too-large"


async def test_who_writes_no_name_is_not_held_up(app: FastAPI, call: Call) -> None:
    """An administrator changes roles while others of the same address are over their limit."""
    _use_up(app)
    role = await call("PATCH /users/{bob}", "admin", json={"role": "moderator"})
    name = await call("PATCH /users/{bob}", "admin", json={"username": "robert"})

    assert (role.status_code, name.status_code) == (200, 429)
