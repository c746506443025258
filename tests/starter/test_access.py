"""Who may what: every route, by everybody, as the contract has it."""

import pytest
from fastapi import FastAPI, WebSocket
from httpx2 import AsyncClient
from sqlalchemy import update
from sqlmodel import col

from neonkit import Database
from neonkit.auth import Principal, SignIns, hash_password
from neonkit.testing import Access, AccessWalk
from neonkit_starter.accounts.models import Account
from neonkit_starter.app import create_app
from neonkit_starter.settings import StarterSettings
from neonkit_starter.users.models import Role, User
from neonkit_starter.users.queries import principal_of
from starter.conftest import API, NOBODY, Cast

PASSWORD = "analytical engines run on steam"
OTHER = "difference engines run on gears"
KEY = {"Idempotency-Key": "a key for this"}
CALLERS = ("nobody", "owner", "stranger", "moderator", "admin")


def _who(nobody: int, owner: int, stranger: int, moderator: int, admin: int) -> dict[str, int]:
    """A row: what each of them is answered."""
    return dict(zip(CALLERS, (nobody, owner, stranger, moderator, admin), strict=True))


def _rules(ids: dict[str, int], token: str) -> dict[str, Access]:
    """The column "who" of the contract; `owner` is ada, whose things the paths name."""
    user, post, account, empty, theirs, transfer = (
        ids[name] for name in ("user", "post", "account", "empty", "theirs", "transfer")
    )
    name = {"json": {"username": "somebody.else"}}
    text = {"json": {"title": "A title", "content": "Some content"}}
    refresh = {"json": {"refresh_token": token}}
    login = {"data": {"username": "ada", "password": PASSWORD}}
    change = {"json": {"current_password": PASSWORD, "new_password": OTHER}}
    new = {"username": "grace", "email": "grace@example.com", "password": OTHER}
    pay = {"from_account_id": account, "to_account_id": theirs, "amount": "1.00"}
    signed_in, own = _who(401, 200, 200, 200, 200), _who(401, 200, 404, 404, 200)
    return {
        "GET /": Access(200),
        "GET /docs": Access(200),
        "GET /docs/start.js": Access(200),
        "GET /docs/{name}": Access(200, "/docs/swagger-ui.css"),
        "GET /redoc": Access(200),
        "GET /redoc/{name}": Access(200, "/redoc/redoc.standalone.js"),
        "GET /openapi.json": Access(200),
        "GET /metrics": Access(200, options={"headers": {"Authorization": ""}}),
        "GET /health/live": Access(200),
        "GET /health/ready": Access(200),
        "GET /health/startup": Access(200),
        f"POST {API}/users": Access(201, options={"json": new}),
        f"POST {API}/auth/token": Access(200, options=login),
        f"POST {API}/auth/refresh": Access(200, options=refresh),
        f"POST {API}/auth/logout": Access(204, options=refresh),
        f"POST {API}/auth/password": Access(_who(401, 204, 401, 401, 401), options=change),
        f"GET {API}/users/me": Access(signed_in),
        f"PATCH {API}/users/me": Access(signed_in, options=name),
        f"DELETE {API}/users/me": Access(_who(401, 409, 409, 204, 204)),
        f"GET {API}/users": Access(_who(401, 403, 403, 200, 200)),
        f"GET {API}/users/{{user_id}}": Access(own, f"{API}/users/{user}"),
        f"GET {API}/users/{{user_id}}, posts": Access(own, f"{API}/users/{user}?include=posts"),
        f"PATCH {API}/users/{{user_id}}": Access(own, f"{API}/users/{user}", name),
        f"PATCH {API}/users/{{user_id}}, role": Access(
            _who(401, 403, 404, 404, 200), f"{API}/users/{user}", {"json": {"role": "moderator"}}
        ),
        f"PATCH {API}/users/{{user_id}}, off": Access(
            _who(401, 403, 404, 404, 200), f"{API}/users/{user}", {"json": {"is_active": False}}
        ),
        f"DELETE {API}/users/{{user_id}}": Access(
            _who(401, 409, 404, 404, 409), f"{API}/users/{user}"
        ),
        f"POST {API}/users/{{user_id}}/anonymize": Access(
            _who(401, 409, 404, 404, 409), f"{API}/users/{user}/anonymize"
        ),
        f"GET {API}/users/{{user_id}}/posts": Access(200, f"{API}/users/{user}/posts"),
        f"POST {API}/posts": Access(_who(401, 201, 201, 201, 201), options=text),
        f"GET {API}/posts": Access(200),
        f"GET {API}/posts/{{post_id}}": Access(200, f"{API}/posts/{post}"),
        f"PATCH {API}/posts/{{post_id}}": Access(
            _who(401, 200, 403, 200, 200), f"{API}/posts/{post}", text
        ),
        f"DELETE {API}/posts/{{post_id}}": Access(
            _who(401, 204, 403, 204, 204), f"{API}/posts/{post}"
        ),
        f"POST {API}/accounts": Access(_who(401, 201, 201, 201, 201), options={"json": {}}),
        f"GET {API}/accounts": Access(signed_in),
        f"GET {API}/accounts/snapshot": Access(own, f"{API}/accounts/snapshot?ids={account}"),
        f"GET {API}/accounts/{{account_id}}": Access(own, f"{API}/accounts/{account}"),
        f"GET {API}/accounts/{{account_id}}/entries": Access(
            own, f"{API}/accounts/{account}/entries"
        ),
        f"POST {API}/accounts/{{account_id}}/close": Access(
            _who(401, 200, 404, 404, 403), f"{API}/accounts/{empty}/close"
        ),
        f"POST {API}/accounts/{{account_id}}/deposits": Access(
            _who(401, 403, 403, 403, 201),
            f"{API}/accounts/{account}/deposits",
            {"json": {"amount": "1.00"}, "headers": KEY},
        ),
        f"POST {API}/transfers": Access(
            _who(401, 201, 404, 404, 403), options={"json": pay, "headers": KEY}
        ),
        f"GET {API}/transfers/{{transfer_id}}": Access(
            _who(401, 200, 200, 404, 200), f"{API}/transfers/{transfer}"
        ),
        f"GET {API}/transfers/by-key/{{key}}": Access(
            _who(401, 200, 404, 404, 404), f"{API}/transfers/by-key/the key of it"
        ),
    }


@pytest.fixture
async def ids(cast: Cast, client: AsyncClient, db: Database) -> dict[str, int]:
    """Ada has a password, a post, an account with money, an empty one, and has paid bob."""
    hashed = await hash_password(PASSWORD)
    async with db.session() as session:
        await session.exec(
            update(User).where(col(User.id) == cast.ada.id).values(hashed_password=hashed)
        )
        owners = (cast.ada, cast.ada, cast.bob)
        accounts = [Account(owner_id=each.id, currency="EUR") for each in owners]
        session.add_all(accounts)
        await session.commit()
        account, empty, theirs = (each.id or 0 for each in accounts)
    headers = {**cast.admin.headers, "Idempotency-Key": "to begin with"}
    deposits = f"{API}/accounts/{account}/deposits"
    await client.post(deposits, json={"amount": "9.00"}, headers=headers)
    pay = {"from_account_id": account, "to_account_id": theirs, "amount": "1.00"}
    headers = {**cast.ada.headers, "Idempotency-Key": "the key of it"}
    made = await client.post(f"{API}/transfers", json=pay, headers=headers)
    return {
        "user": cast.ada.id,
        "post": cast.post,
        "account": account,
        "empty": empty,
        "theirs": theirs,
        "transfer": made.json()["id"],
    }


@pytest.fixture
def callers(cast: Cast) -> dict[str, dict[str, str]]:
    """Everybody, by what they are to ada's things."""
    return {
        "nobody": NOBODY,
        "owner": cast.ada.headers,
        "stranger": cast.bob.headers,
        "moderator": cast.moderator.headers,
        "admin": cast.admin.headers,
    }


async def test_every_route_is_for_whom_the_contract_says(
    access: AccessWalk,
    app: FastAPI,
    cast: Cast,
    db: Database,
    ids: dict[str, int],
    callers: dict[str, dict[str, str]],
) -> None:
    """Route by route, role by role, owner or not: no deviation."""
    sign_ins = SignIns(db, app.state.neonkit.tokens, principal_of)
    token = sign_ins.begin(str(cast.ada.id), Principal(cast.ada.id, Role.USER)).refresh_token

    assert await access.deviations(_rules(ids, token), callers) == []


async def _tell() -> str:
    return "everything"


async def _chat(socket: WebSocket) -> None:
    await socket.accept()


def _planted() -> FastAPI:
    app = create_app(StarterSettings(rate_limit_enabled=False))
    app.add_api_route(f"{API}/users/{{user_id}}/secrets", _tell, methods=["GET"])
    app.add_api_websocket_route("/chat", _chat)
    app.mount("/admin", FastAPI())
    return app


async def test_an_open_route_is_found(
    client: AsyncClient, db: Database, callers: dict[str, dict[str, str]]
) -> None:
    """One that nobody gave a rule, and one whose rule the app does not keep."""
    route = f"GET {API}/users/{{user_id}}/secrets"
    walk = AccessWalk(_planted(), client, db)
    told = await walk.deviations({"GET /": Access({"nobody": 401, "owner": 200})}, callers)

    for planted in (route, "WEBSOCKET /chat", "MOUNT /admin"):
        assert f"{planted}: no rule says who may" in told
    assert "GET / as nobody: 200, not 401" in told
    assert "GET / as owner: 200, not 200" not in told
    assert "GET / as admin: 200, not None" in told
    named = await walk.deviations(
        dict.fromkeys(("WEBSOCKET /chat", "MOUNT /admin"), Access({})), callers
    )
    assert not any("/chat" in each or "/admin" in each for each in named)
