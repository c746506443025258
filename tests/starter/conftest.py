"""The starter over TCP, and the people who use it."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI

from neonkit import Database
from neonkit.auth import Principal, SignIns
from neonkit.dsn import Dsn
from neonkit.testing import LiveServer
from neonkit.testing._databases import Loan
from neonkit_starter.app import create_app
from neonkit_starter.posts.models import Post
from neonkit_starter.settings import StarterSettings
from neonkit_starter.users.models import Role, User
from neonkit_starter.users.queries import principal_of

API = "/api/v1"
NOBODY: dict[str, str] = {}


@dataclass(frozen=True)
class Person:
    """Somebody who calls.

    Attributes:
        id: the user's.
        headers: sign their requests.
    """

    id: int
    headers: dict[str, str]


@dataclass(frozen=True)
class Cast:
    """Two users, a moderator and an administrator; `ada` has written a post."""

    ada: Person
    bob: Person
    moderator: Person
    admin: Person
    post: int

    def headers_of(self, name: str) -> dict[str, str]:
        """Sign as one of them, or as nobody."""
        person: Person | None = getattr(self, name, None)
        return person.headers if person else NOBODY

    def path(self, template: str) -> str:
        """Fill in ids: `/users/{ada}`, `/posts/{post}`, `/posts/{missing}`."""
        ids = {name: getattr(self, name).id for name in ("ada", "bob", "moderator", "admin")}
        return API + template.format(**ids, post=self.post, missing=2**31 - 1)


@cache
def _app() -> FastAPI:
    return create_app(StarterSettings(rate_limit_enabled=False))


@pytest.fixture
def app() -> FastAPI:
    """The starter without its limits: all tests call from one address."""
    return _app()


@pytest.fixture
def dsn(db: Database, _neonkit_loan: Loan) -> Dsn:  # noqa: ARG001  # asking for it makes the tables
    """The address of the test's own database; the test is marked `real_commits`."""
    assert _neonkit_loan.clone is not None
    return _neonkit_loan.clone


@pytest.fixture
async def cast(app: FastAPI, db: Database) -> Cast:
    """The people, in the test's database."""
    roles = {"ada": Role.USER, "bob": Role.USER, "moderator": Role.MODERATOR, "admin": Role.ADMIN}
    async with db.session() as session:
        users = {
            name: User(username=name, email=f"{name}@example.com", hashed_password="-", role=role)
            for name, role in roles.items()
        }
        session.add_all(users.values())
        await session.flush()
        post = Post(author_id=users["ada"].id or 0, title="On looms", content="They weave.")
        session.add(post)
        await session.commit()
        people = {name: sign(app, db, user) for name, user in users.items()}
        return Cast(**people, post=post.id or 0)


def sign(app: FastAPI, db: Database, user: User) -> Person:
    """Sign a user in, as `/auth/token` does."""
    principal = Principal(user.id or 0, user.role)
    return Person(principal.id, headers_of(app, db, principal))


def headers_of(app: FastAPI, db: Database, principal: Principal) -> dict[str, str]:
    """Begin a sign-in, and call by it."""
    sign_ins = SignIns(db, app.state.neonkit.tokens, principal_of)
    pair = sign_ins.begin(str(principal.id), principal)
    return {"Authorization": f"Bearer {pair.access_token}"}


Call = Callable[..., Awaitable[httpx2.Response]]


@pytest.fixture
def call(live_server: LiveServer, client: httpx2.AsyncClient, cast: Cast) -> Call:  # noqa: ARG001  # asking for it serves over TCP
    """Sends a request as one of the cast: method and path, then who, such as `"bob"`."""

    async def send(route: str, who: str = "nobody", **options: Any) -> httpx2.Response:
        method, _, template = route.partition(" ")
        headers = {**cast.headers_of(who), **options.pop("headers", {})}
        return await client.request(method, cast.path(template), headers=headers, **options)

    return send


def slug_of(answer: httpx2.Response) -> str:
    """The kind of problem that was answered, after a look at its form."""
    assert answer.headers["content-type"] == "application/problem+json"
    body = answer.json()
    assert (body["status"], body["instance"]) == (
        answer.status_code,
        answer.headers["x-request-id"],
    )
    return str(body["type"]).rpartition("/")[2]


def pointers_of(answer: httpx2.Response) -> list[str]:
    """Which fields were at fault."""
    return [error["pointer"] for error in answer.json()["errors"]]
