"""Who may call what: every route of users and posts, by everybody whom it leaves out."""

import re
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import update
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database
from neonkit.auth import issue_access_token
from neonkit_starter.accounts.models import Account
from neonkit_starter.posts.models import Post
from neonkit_starter.users.models import User
from starter.conftest import Call, Cast, slug_of

POST = {"title": "A title", "content": "Some content"}
LEFT_OUT = [
    ("GET /users/me", {"nobody": 401}),
    ("PATCH /users/me", {"nobody": 401}),
    ("DELETE /users/me", {"nobody": 401}),
    ("GET /users", {"nobody": 401, "ada": 403}),
    ("GET /users/{ada}", {"nobody": 401, "bob": 404, "moderator": 404}),
    ("PATCH /users/{ada}", {"nobody": 401, "bob": 404, "moderator": 404}),
    ("DELETE /users/{ada}", {"nobody": 401, "bob": 404, "moderator": 404}),
    ("GET /users/{missing}", {"nobody": 401, "ada": 404, "admin": 404}),
    ("PATCH /users/{missing}", {"nobody": 401, "ada": 404, "admin": 404}),
    ("DELETE /users/{missing}", {"nobody": 401, "ada": 404, "admin": 404}),
    ("POST /posts", {"nobody": 401}),
    ("GET /posts/{missing}", {"nobody": 404, "ada": 404}),
    ("PATCH /posts/{post}", {"nobody": 401, "bob": 403}),
    ("DELETE /posts/{post}", {"nobody": 401, "bob": 403}),
    ("PATCH /posts/{missing}", {"nobody": 401, "ada": 404, "admin": 404}),
    ("DELETE /posts/{missing}", {"nobody": 401, "ada": 404, "admin": 404}),
]
BODIES = {"PATCH /users": {"email": "new@example.com"}, "PATCH /posts": {"title": "New"}}
SLUGS = {401: "unauthorized", 403: "forbidden", 404: "not-found"}


def _body_of(route: str) -> dict[str, str] | None:
    if route.startswith("POST /posts"):
        return POST
    return next((body for start, body in BODIES.items() if route.startswith(start)), None)


@pytest.mark.parametrize(
    ("route", "who", "status"),
    [(route, who, status) for route, callers in LEFT_OUT for who, status in callers.items()],
)
async def test_whoever_is_left_out_is_told_so(
    call: Call, route: str, who: str, status: int
) -> None:
    """The status and slug of the contract, the header that says how to sign in, and no effect."""
    answer = await call(route, who, json=_body_of(route))

    assert (answer.status_code, slug_of(answer)) == (status, SLUGS[status])
    assert ("www-authenticate" in answer.headers) is (status == 401)
    assert (await call("GET /users/{ada}", "ada")).json()["email"] == "ada@example.com"
    assert (await call("GET /posts/{post}")).json()["title"] == "On looms"


@pytest.mark.parametrize("method", ["GET", "PATCH", "DELETE"])
async def test_another_user_looks_like_a_missing_one(call: Call, method: str) -> None:
    """The two answers differ in nothing but the request's id."""
    body = {"email": "new@example.com"} if method == "PATCH" else None
    theirs = await call(f"{method} /users/{{ada}}", "bob", json=body)
    missing = await call(f"{method} /users/{{missing}}", "bob", json=body)

    assert {**theirs.json(), "instance": ""} == {**missing.json(), "instance": ""}


@pytest.mark.parametrize(
    ("route", "headers", "content"),
    [
        ("POST /posts", {"Content-Type": "application/json"}, b'{"title": '),
        ("POST /posts", {"Content-Type": "text/plain"}, b"hello"),
        ("POST /posts", {"Content-Type": "application/json"}, b"{}"),
        ("POST /posts", {"Content-Type": "application/json"}, b"[" * 5_000),
        ("GET /users?colour=red", {}, None),
        ("GET /users?limit=0", {}, None),
        ("GET /users/nobody", {}, None),
    ],
)
async def test_strangers_learn_nothing_of_their_input(
    call: Call, route: str, headers: dict[str, str], content: bytes | None
) -> None:
    """What the token shows comes before any fault of body, query or path."""
    strange = await call(route, headers=headers, content=content)
    forged = {**headers, "Authorization": "Bearer not-a-token"}
    refused = await call(route, headers=forged, content=content)
    known = await call(route, "admin", headers=headers, content=content)

    assert (strange.status_code, slug_of(strange)) == (401, "unauthorized")
    assert (refused.status_code, slug_of(refused)) == (401, "invalid-token")
    assert known.status_code in {400, 413, 415, 422}


@pytest.mark.parametrize(
    ("headers", "slug"),
    [
        ([("Authorization", "")], "unauthorized"),
        ([("Authorization", "Basic YWRhOmFkYQ==")], "unauthorized"),
        ([("Authorization", "Bearer")], "unauthorized"),
        ([("Authorization", "Bearer a.b.c")], "invalid-token"),
        ([("Authorization", "Bearer é")], "invalid-token"),
        ([("Authorization", "Bearer " + "a" * 5000)], "invalid-token"),
    ],
)
async def test_credentials_that_do_not_hold(
    call: Call, headers: list[tuple[str, str]], slug: str
) -> None:
    """Each is 401 with `WWW-Authenticate: Bearer`."""
    name, value = headers[0]
    answer = await call("GET /users/me", headers={name: value.encode()})

    assert (answer.status_code, slug_of(answer)) == (401, slug)
    assert answer.headers["www-authenticate"] == "Bearer"


async def test_the_scheme_is_read_without_case_and_the_query_not_at_all(call: Call) -> None:
    """`bearer` will do; a token in the query string is none."""
    token = (await call("GET /users/me", "ada")).request.headers["authorization"].split()[1]

    lower = await call("GET /users/me", headers={"Authorization": f"bearer {token}"})
    query = await call(f"GET /users/me?access_token={token}")

    assert lower.status_code == 200
    assert (query.status_code, slug_of(query)) == (401, "unauthorized")


@pytest.mark.parametrize("route", ["GET /posts", "GET /posts/{post}", "GET /users/{ada}/posts"])
async def test_public_reads_ignore_credentials(call: Call, route: str) -> None:
    """A token that does not hold does no harm where none is needed."""
    assert (await call(route, headers={"Authorization": "Bearer nonsense"})).status_code == 200


async def test_a_user_who_is_gone_or_switched_off_is_a_stranger(call: Call) -> None:
    """From the next request on, whatever the token says."""
    off = await call("PATCH /users/{bob}", "admin", json={"is_active": False})
    switched_off = await call("GET /users/me", "bob")
    gone = await call("DELETE /users/me", "moderator")
    deleted = await call("GET /users/me", "moderator")

    assert (off.status_code, gone.status_code) == (200, 204)
    for answer in (switched_off, deleted):
        assert (answer.status_code, slug_of(answer)) == (401, "invalid-token")


async def test_a_role_counts_from_the_next_request_on(call: Call) -> None:
    """Rights are the database's, not the token's: who has got another role signs in again."""
    before = await call("GET /users", "bob")
    await call("PATCH /users/{bob}", "admin", json={"role": "moderator"})
    after = await call("GET /users", "bob")

    assert (before.status_code, after.status_code) == (403, 401)
    assert slug_of(after) == "invalid-token"


SIGNED_IN: dict[str, dict[str, Any]] = {
    "GET /users": {},
    "GET /users/me": {},
    "PATCH /users/me": {"json": {"email": "other@example.com"}},
    "DELETE /users/me": {},
    "GET /users/{user_id}": {},
    "PATCH /users/{user_id}": {"json": {"email": "other@example.com"}},
    "DELETE /users/{user_id}": {},
    "POST /users/{user_id}/anonymize": {},
    "POST /auth/password": {
        "json": {"current_password": "x", "new_password": "analytical engines"},
    },
    "POST /posts": {"json": POST},
    "PATCH /posts/{post_id}": {"json": {"title": "Other"}},
    "DELETE /posts/{post_id}": {},
    "POST /accounts": {"json": {}},
    "GET /accounts": {},
    "GET /accounts/snapshot": {"params": {"ids": "1"}},
    "GET /accounts/{account_id}": {},
    "POST /accounts/{account_id}/close": {},
    "GET /accounts/{account_id}/entries": {},
    "POST /accounts/{account_id}/deposits": {"json": {"amount": "1.00"}},
    "POST /transfers": {
        "json": {"from_account_id": 1, "to_account_id": 2, "amount": "1.00"},
    },
    "GET /transfers/by-key/{key}": {},
    "GET /transfers/{transfer_id}": {},
}


def test_every_route_that_asks_who_calls_is_tried_here(app: FastAPI) -> None:
    """The schema's operations with credentials are those of the table above."""
    asking = {
        f"{method.upper()} {path.removeprefix('/api/v1')}"
        for path, operations in app.openapi()["paths"].items()
        for method, operation in operations.items()
        if operation.get("security")
    }

    assert asking == set(SIGNED_IN)


@pytest.mark.parametrize("route", SIGNED_IN)
async def test_nothing_is_done_for_somebody_who_was_switched_off(
    call: Call, cast: Cast, db: Database, route: str
) -> None:
    """The token names an administrator, and still holds; the statement finds that they are not."""
    async with db.session() as session:
        for owner in (cast.admin, cast.ada):
            session.add(Account(owner_id=owner.id, currency="EUR"))
        await session.flush()
        before = await _everything(session)
        await session.exec(
            update(User).where(col(User.id) == cast.admin.id).values(is_active=False)
        )
        await session.commit()
    path = re.sub(r"\{user_id\}", "{ada}", route).replace("{post_id}", "{post}")
    path = re.sub(r"\{(account_id|transfer_id|key)\}", "1", path)

    answer = await call(
        path, "admin", headers={"Idempotency-Key": "switched-off"}, **SIGNED_IN[route]
    )

    assert (answer.status_code, slug_of(answer)) == (401, "invalid-token")
    async with db.session() as session:
        assert await _everything(session) == before


async def _everything(session: AsyncSession) -> list[object]:
    names = select(col(User.email).concat(col(User.username))).order_by(col(User.id))
    titles = select(Post.title).order_by(col(Post.id))
    balances = select(Account.id, col(Account.balance), col(Account.status)).order_by(
        col(Account.id)
    )
    return [(await session.exec(each)).all() for each in (names, titles, balances)]


async def test_a_right_that_was_taken_away_is_gone_at_once(call: Call) -> None:
    """The token still says moderator: no list of users, and another's post stays as it was."""
    before = await call("GET /users", "moderator")
    await call("PATCH /users/{moderator}", "admin", json={"role": "user"})
    listed = await call("GET /users", "moderator")
    changed = await call("PATCH /posts/{post}", "moderator", json={"title": "Mine"})
    deleted = await call("DELETE /posts/{post}", "moderator")

    assert before.status_code == 200
    for answer in (listed, changed, deleted):
        assert (answer.status_code, slug_of(answer)) == (401, "invalid-token")
    assert (await call("GET /posts/{post}")).json()["title"] == "On looms"


async def test_a_token_without_a_hint_will_do(app: FastAPI, call: Call, cast: Cast) -> None:
    """Whom it does not describe is looked up, in one round trip more."""
    token = issue_access_token(app.state.neonkit.tokens, str(cast.ada.id))
    answers = [
        await call("GET /users/me", headers={"Authorization": f"Bearer {token}"}) for _ in range(2)
    ]

    assert answers[1].json()["username"] == "ada"
    assert 'trips;desc="2"' in answers[1].headers["server-timing"]
