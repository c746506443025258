"""What each route of the starter spends: on the wire, in `Server-Timing`, in the committed file."""

import asyncio
import re
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from fastapi.routing import iter_route_contexts
from httpx2 import AsyncClient, Response
from sqlalchemy import text

from neonkit import Database
from neonkit.auth import Principal
from neonkit.testing import TripBudget, TripCounter
from neonkit.testing._budget_file import read_budgets
from neonkit_starter.users.models import Role
from starter.conftest import Cast, headers_of

_numbers = count(1)
FILE = Path(__file__).with_name("round_trips.toml")
KEYED = {"Idempotency-Key": "{new}"}
PASSWORD = "analytical engines run on steam"


@dataclass(frozen=True)
class Case:
    """A request that succeeds. `{…}` in any of its texts is an id, or what its test knows.

    Attributes:
        path: where that is not the route itself.
        who: signs it: one of the cast, or `made`, the user whom `after` has made.
        options: the client's, such as `json`.
        after: the case that is sent before it each time; the id in its answer is `{made}`.
    """

    path: str = ""
    who: str = "nobody"
    options: dict[str, Any] = field(default_factory=dict)
    after: str = ""


def _sends(**options: Any) -> dict[str, Any]:
    return options


POST = _sends(json={"title": "A title", "content": "Some content"})
USER = _sends(
    json={"username": "{new}", "email": "{new}@example.com", "password": PASSWORD},
)
REFRESH = _sends(json={"refresh_token": "{refresh_token}"})
EMAIL = _sends(json={"email": "other-{new}@example.com"})
TRANSFER = _sends(
    json={"from_account_id": "{payer}", "to_account_id": "{payee}", "amount": "1.00"},
    headers=KEYED,
)

# names of budgets: the route, and behind a comma what tells one case of it from another
CASES: dict[str, Case] = {
    "GET /": Case(),
    "GET /docs": Case(),
    "GET /docs/start.js": Case(),
    "GET /docs/{name}": Case("/docs/swagger-ui.css"),
    "GET /openapi.json": Case(),
    "GET /redoc": Case(),
    "GET /redoc/{name}": Case("/redoc/redoc.standalone.js"),
    "GET /metrics": Case(),
    "GET /health/live": Case(),
    "GET /health/ready": Case(),
    "GET /health/startup": Case(),
    "POST /api/v1/auth/token": Case(
        options=_sends(data={"username": "{new}", "password": PASSWORD}),
        after="POST /api/v1/users",
    ),
    "POST /api/v1/auth/refresh": Case(options=REFRESH, after="POST /api/v1/auth/token"),
    "POST /api/v1/auth/logout": Case(options=REFRESH, after="POST /api/v1/auth/token"),
    "POST /api/v1/auth/password": Case(
        who="made", after="POST /api/v1/users",
        options=_sends(json={"current_password": PASSWORD, "new_password": PASSWORD + "!"}),
    ),
    "POST /api/v1/users": Case(options=USER),
    "POST /api/v1/users, with a key": Case(options=USER | _sends(headers=KEYED)),
    "GET /api/v1/users": Case(who="moderator"),
    "GET /api/v1/users, q": Case("/api/v1/users?q=ada", "moderator"),
    "GET /api/v1/users, total=exact": Case("/api/v1/users?total=exact", "moderator"),
    "GET /api/v1/users, total=estimated": Case("/api/v1/users?total=estimated", "moderator"),
    "GET /api/v1/users, total=estimated, filtered": Case(
        "/api/v1/users?total=estimated&role=user", "moderator"
    ),
    "GET /api/v1/users/me": Case(who="ada"),
    "PATCH /api/v1/users/me": Case(who="ada", options=EMAIL),
    "DELETE /api/v1/users/me": Case(who="made", after="POST /api/v1/users"),
    "GET /api/v1/users/{user_id}": Case("/api/v1/users/{ada}", "ada"),
    "GET /api/v1/users/{user_id}, of another": Case("/api/v1/users/{ada}", "admin"),
    "GET /api/v1/users/{user_id}, include=posts": Case("/api/v1/users/{ada}?include=posts", "ada"),
    "PATCH /api/v1/users/{user_id}": Case("/api/v1/users/{ada}", "ada", EMAIL),
    "DELETE /api/v1/users/{user_id}": Case(
        "/api/v1/users/{made}", "admin", after="POST /api/v1/users"
    ),
    "POST /api/v1/users/{user_id}/anonymize": Case(
        "/api/v1/users/{made}/anonymize", "made", after="POST /api/v1/users"
    ),
    "GET /api/v1/users/{user_id}/posts": Case("/api/v1/users/{ada}/posts"),
    "GET /api/v1/posts": Case(),
    "GET /api/v1/posts, cursor": Case("/api/v1/posts?limit=1&cursor={next_cursor}"),
    "GET /api/v1/posts, q": Case("/api/v1/posts?q=looms"),
    "GET /api/v1/posts, total=exact": Case("/api/v1/posts?total=exact"),
    "GET /api/v1/posts, q, total=exact": Case("/api/v1/posts?q=looms&total=exact"),
    "GET /api/v1/posts, total=estimated": Case("/api/v1/posts?total=estimated"),
    "GET /api/v1/posts, total=estimated, filtered": Case(
        "/api/v1/posts?total=estimated&author_id={ada}"
    ),
    "POST /api/v1/posts": Case(who="ada", options=POST),
    "POST /api/v1/posts, with a key": Case(who="ada", options=POST | _sends(headers=KEYED)),
    "POST /api/v1/posts, replayed": Case(
        who="ada", options=POST | _sends(headers=KEYED), after="POST /api/v1/posts, with a key"
    ),
    "GET /api/v1/posts/{post_id}": Case("/api/v1/posts/{post}"),
    "PATCH /api/v1/posts/{post_id}": Case(
        "/api/v1/posts/{post}", "ada", _sends(json={"title": "Title {new}"})
    ),
    "PATCH /api/v1/posts/{post_id}, as a moderator": Case(
        "/api/v1/posts/{post}", "moderator", _sends(json={"title": "Title {new}"})
    ),
    "PATCH /api/v1/posts/{post_id}, If-Match": Case(
        "/api/v1/posts/{made}", "ada",
        _sends(json={"title": "Title {new}"}, headers={"If-Match": '"1"'}),
        "POST /api/v1/posts",
    ),
    "DELETE /api/v1/posts/{post_id}, If-Match": Case(
        "/api/v1/posts/{made}", "ada", _sends(headers={"If-Match": '"1"'}), "POST /api/v1/posts"
    ),
    "DELETE /api/v1/posts/{post_id}": Case(
        "/api/v1/posts/{made}", "ada", after="POST /api/v1/posts"
    ),
    "POST /api/v1/accounts": Case(who="ada", options=_sends(json={})),
    "POST /api/v1/accounts, with a key": Case(
        who="ada", options=_sends(json={}, headers=KEYED)
    ),
    "GET /api/v1/accounts": Case(who="ada"),
    "GET /api/v1/accounts, of everybody, total=exact": Case(
        "/api/v1/accounts?total=exact", "admin"
    ),
    "GET /api/v1/accounts/snapshot": Case("/api/v1/accounts/snapshot?ids={payer},{payee}", "admin"),
    "GET /api/v1/accounts/{account_id}": Case("/api/v1/accounts/{payer}", "ada"),
    "GET /api/v1/accounts/{account_id}/entries": Case("/api/v1/accounts/{payer}/entries", "ada"),
    "POST /api/v1/accounts/{account_id}/close": Case(
        "/api/v1/accounts/{made}/close", "ada", after="POST /api/v1/accounts"
    ),
    "POST /api/v1/accounts/{account_id}/close, with a key": Case(
        "/api/v1/accounts/{made}/close", "ada", _sends(headers=KEYED), "POST /api/v1/accounts"
    ),
    "POST /api/v1/accounts/{account_id}/close, If-Match": Case(
        "/api/v1/accounts/{made}/close", "ada", _sends(headers={"If-Match": '"0-open"'}),
        "POST /api/v1/accounts",
    ),
    "POST /api/v1/accounts/{account_id}/deposits": Case(
        "/api/v1/accounts/{payee}/deposits", "admin",
        _sends(json={"amount": "1.00"}, headers=KEYED),
    ),
    "POST /api/v1/transfers": Case(who="ada", options=TRANSFER),
    "POST /api/v1/transfers, replayed": Case(
        who="ada", options=TRANSFER, after="POST /api/v1/transfers"
    ),
    "GET /api/v1/transfers/by-key/{key}": Case(
        "/api/v1/transfers/by-key/{new}", "ada", after="POST /api/v1/transfers"
    ),
    "GET /api/v1/transfers/{transfer_id}": Case(
        "/api/v1/transfers/{made}", "ada", after="POST /api/v1/transfers"
    ),
}  # fmt: skip


@dataclass(frozen=True)
class Starter:
    """The running starter, and what the texts of cases stand for."""

    app: FastAPI
    client: AsyncClient
    cast: Cast
    db: Database

    async def send(self, name: str, known: dict[str, Any]) -> Response:
        """Send a case's request; it must succeed."""
        case = CASES[name]
        method, _, route = name.partition(",")[0].partition(" ")
        options = _filled(case.options, known)
        headers = {**self._headers_of(case.who, known), **options.pop("headers", {})}
        path = _filled(case.path or route, known)
        answer = await self.client.request(method, path, headers=headers, **options)
        assert answer.is_success, answer.text
        return answer

    async def prepare(self, name: str, known: dict[str, Any]) -> dict[str, Any]:
        """Send what a case comes after, and add what is new to what is known."""
        return await self._follow(name, {**known, "new": f"new-{next(_numbers):06}"})

    async def _follow(self, name: str, known: dict[str, Any]) -> dict[str, Any]:
        before = CASES[name].after
        if not before:
            return known
        known = await self._follow(before, known)
        made = (await self.send(before, known)).json()
        return known | ({"made": made["id"]} if "id" in made else made)

    def _headers_of(self, who: str, known: dict[str, Any]) -> dict[str, str]:
        if who != "made":
            return self.cast.headers_of(who)
        return headers_of(self.app, self.db, Principal(known["made"], Role.USER))


def _filled(value: Any, known: dict[str, Any]) -> Any:  # noqa: ANN401  # whatever a client takes
    if isinstance(value, dict):
        return {name: _filled(each, known) for name, each in value.items()}
    if value in {"{payer}", "{payee}"}:
        return known[value[1:-1]]
    return value.format(**known) if isinstance(value, str) else value


def _told(answer: Response) -> int:
    """The round trips that `Server-Timing` names."""
    found = re.search(r'trips;desc="(\d+)"', answer.headers["server-timing"])
    assert found is not None
    return int(found[1])


@pytest.fixture
async def starter(app: FastAPI, client: AsyncClient, cast: Cast, db: Database) -> Starter:
    """The starter, when its start-up is over."""
    for _ in range(1000):
        if (await client.get("/health/startup")).is_success:
            break
        await asyncio.sleep(0.01)
    return Starter(app, client, cast, db)


@pytest.fixture
async def known(starter: Starter, db: Database) -> dict[str, Any]:
    """People, two posts, two accounts of which one has money, and where a second page begins.

    The tables are analysed, as a server does from time to time.
    """
    cast = starter.cast
    ids = {who: getattr(cast, who).id for who in ("ada", "bob", "moderator", "admin")}
    known = {**ids, "post": cast.post}
    for name in ("payer", "payee"):
        account = await starter.send("POST /api/v1/accounts", known)
        known[name] = account.json()["id"]
    path = f"/api/v1/accounts/{known['payer']}/deposits"
    headers = {**cast.admin.headers, "Idempotency-Key": "money to begin with"}
    await starter.client.post(path, json={"amount": "1000.00"}, headers=headers)
    await starter.send("POST /api/v1/posts", known)
    async with db.session() as session:
        await (await session.connection()).execute(text("ANALYZE"))
        await session.commit()
    page = await starter.client.get("/api/v1/posts?limit=1")
    return {**known, "next_cursor": page.json()["next_cursor"]}


@pytest.mark.parametrize("name", CASES)
async def test_what_a_request_spends(
    starter: Starter, known: dict[str, Any], budget: TripBudget, name: str
) -> None:
    """The file says it, it is not above the ceiling, and `Server-Timing` counts as the wire does.

    Cold and warm: what a connection prepares for the first time is in both counts.
    """
    for once in budget(name):
        filled = await starter.prepare(name, known)
        with once as counted:
            answer = await starter.send(name, filled)
        assert _told(answer) == counted.count, str(counted)


async def test_a_refused_request_is_told_too(
    starter: Starter, known: dict[str, Any], trips: TripCounter
) -> None:
    """`Server-Timing` counts as the wire does where a request changes nothing, cold and warm."""
    taken = {**USER["json"], "email": "ada@example.com", "username": "somebody"}
    for route, who, body, status in (
        ("GET /api/v1/users/me", "nobody", None, 401),
        ("GET /api/v1/users", "ada", None, 403),
        ("PATCH /api/v1/posts/{post}", "bob", {"title": "Mine"}, 403),
        ("GET /api/v1/posts/999999", "nobody", None, 404),
        ("DELETE /api/v1/posts/999999", "ada", None, 404),
        ("GET /api/v1/accounts/{payer}", "bob", None, 404),
        ("POST /api/v1/accounts/{payer}/close", "ada", {}, 409),
        ("POST /api/v1/users", "nobody", taken, 409),
        ("POST /api/v1/posts", "ada", {}, 422),
        ("GET /api/v1/nothing", "ada", None, 404),
    ):
        method, _, path = route.format(**known).partition(" ")
        headers = starter.cast.headers_of(who)
        for _ in range(2):
            with trips.counting() as counted:
                answer = await starter.client.request(method, path, headers=headers, json=body)
            assert (route, answer.status_code) == (route, status)
            assert _told(answer) == counted.count, f"{route}:\n{counted}"


async def test_a_race_for_a_key(
    starter: Starter, known: dict[str, Any], trips: TripCounter
) -> None:
    """The loser spends one round trip more than the winner, and both are told what they spent.

    That is so once either connection has prepared what winners and what losers send.
    """
    name, told = "POST /api/v1/posts, with a key", [0]
    for _ in range(20):
        filled = await starter.prepare(name, known)
        with trips.counting() as counted:
            answers = await asyncio.gather(*(starter.send(name, filled) for _ in range(2)))
        assert answers[0].json() == answers[1].json()
        told = sorted(map(_told, answers))
        assert sum(told) == counted.count, str(counted)
        if told == [1, 2]:
            return
    pytest.fail(f"the last two were told {told}")


def test_every_route_is_here(app: FastAPI) -> None:
    """The app has no route that no case sends a request to, and every case has a route."""
    routes = {
        f"{method} {route.path_format}"
        for route in iter_route_contexts(app.routes)
        for method in (route.methods or set()) - {"HEAD"}
    }

    assert {name.partition(",")[0] for name in CASES} == routes


def test_every_budget_has_a_ceiling_and_a_case() -> None:
    """Nothing in the file is left over from a route that is gone, or free to grow."""
    budgets = read_budgets(FILE)

    assert set(budgets) == set(CASES)
    assert [name for name, budget in budgets.items() if budget.ceiling is None] == []
