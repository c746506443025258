"""The starter on its second driver: what a client sees is the same."""

from itertools import count

import pytest
from httpx2 import AsyncClient

from neonkit import Database
from neonkit.db import Driver
from starter.conftest import Call, slug_of

_keys = (f"key-on-psycopg-{number}" for number in count())


@pytest.fixture
def database_driver() -> Driver:
    """The one that is not the default."""
    return "psycopg"


async def test_money(call: Call, db: Database) -> None:
    """Accounts, a deposit, a transfer, its replay, and the refusals."""
    assert db.engine.dialect.driver == "psycopg"
    payer, payee = [
        (await call("POST /accounts", who, json={})).json()["id"] for who in ("ada", "bob")
    ]
    keyed = [{"Idempotency-Key": next(_keys)} for _ in range(3)]
    deposit, pay = f"POST /accounts/{payer}/deposits", "POST /transfers"
    body = {"from_account_id": payer, "to_account_id": payee, "amount": "4.20"}

    given = await call(deposit, "admin", json={"amount": "10.00"}, headers=keyed[0])
    moved = await call(pay, "ada", json=body, headers=keyed[1])
    again = await call(pay, "ada", json=body, headers=keyed[1])
    refused = await call(pay, "ada", json=body | {"amount": "99.00"}, headers=keyed[2])

    assert (given.status_code, moved.status_code, again.status_code) == (201, 201, 201)
    assert again.json() == moved.json()
    assert again.headers["idempotent-replayed"] == "true"
    assert slug_of(refused) == "insufficient-funds"
    assert (await call(f"GET /accounts/{payer}", "ada")).json()["balance"] == "5.80"


async def test_posts(call: Call) -> None:
    """Written, listed with a total, searched, changed and deleted."""
    made = await call("POST /posts", "ada", json={"title": "Ä title", "content": "Words."})
    path = f"/posts/{made.json()['id']}"
    listed = await call("GET /posts?limit=1&total=exact", "ada")
    changed = await call(f"PATCH {path}", "ada", json={"title": "Other"})

    assert (made.status_code, listed.status_code, changed.status_code) == (201, 200, 200)
    assert listed.json()["total"] == 2
    assert changed.json()["title"] == "Other"
    assert (await call(f"DELETE {path}", "bob")).status_code == 403
    assert (await call(f"DELETE {path}", "ada")).status_code == 204
    assert slug_of(await call(f"GET {path}", "ada")) == "not-found"


async def test_what_a_database_refuses(client: AsyncClient, call: Call) -> None:
    """A value that is taken, and a text that PostgreSQL cannot hold, are the client's mistakes."""
    person = {"username": "ada", "email": "new@example.com", "password": "no common secret 17"}
    taken = await client.post("/api/v1/users", json=person)
    unholdable = await call("POST /posts", "ada", json={"title": "a\0", "content": "b"})

    assert slug_of(taken) == "duplicate"
    assert unholdable.status_code == 422
