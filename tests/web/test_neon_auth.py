"""Neon Auth: one variable, and its users are callers."""

from collections.abc import Iterator
from typing import Any

import httpx2
import pytest
from fastapi import FastAPI
from sqlalchemy import Select, select
from sqlmodel import Field, SQLModel, col

import neonkit
from neonkit import CallerDep, Database, InputModel, OptionalIdempotencyKey, TableModel
from neonkit.errors import ConfigurationError
from support.key_server import Issuing, issuing


class NeonAuthMember(TableModel, table=True):
    """Somebody whom Neon Auth knows by another id."""

    id: int | None = Field(default=None, primary_key=True)
    neon_id: str = Field(unique=True)
    role: str = "member"
    is_active: bool = True


class Note(InputModel):
    """A body."""

    text: str


class Me(SQLModel):
    """Who called."""

    id: int
    role: str


def _member_of(subject: str) -> Select[*tuple[Any, ...]]:
    columns = (col(NeonAuthMember.id), col(NeonAuthMember.role), col(NeonAuthMember.is_active))
    return select(*columns).where(col(NeonAuthMember.neon_id) == subject)


@pytest.fixture
def issuer() -> Iterator[Issuing]:
    """Neon Auth, played on this machine."""
    with issuing() as issuer:
        issuer.add_key("k1", "EdDSA", "/neondb/auth/.well-known/jwks.json")
        yield issuer


@pytest.fixture
def app(issuer: Issuing) -> FastAPI:
    """An app that is told of it by the one variable."""
    app = FastAPI()
    settings = neonkit.Settings(
        environment="test", neon_auth_base_url=f"{issuer.origin}/neondb/auth", _env_file=None
    )
    neonkit.install(app, settings, principal=_member_of)

    @app.get("/me")
    async def read_me(me: CallerDep) -> Me:
        return Me(id=me.id, role=me.role)

    @app.post("/notes")
    async def write(body: Note, me: CallerDep, key: OptionalIdempotencyKey) -> Me:
        return Me(id=me.id, role=f"{body.text} {key is not None}")

    return app


async def test_neon_auths_users_are_callers(
    issuer: Issuing, client: httpx2.AsyncClient, db: Database
) -> None:
    """By the subject that the app's function finds; active or not is the database's to say."""
    async with db.session() as session:
        member = NeonAuthMember(neon_id="b7c1")
        session.add(member)
        await session.commit()
    headers = {"Authorization": f"Bearer {issuer.token('k1')}"}
    here = await client.get("/me", headers=headers)
    unknown = {"Authorization": f"Bearer {issuer.token('k1', sub='other')}"}
    nobody = await client.get("/me", headers=unknown)
    forged = await client.get(
        "/me", headers={"Authorization": headers["Authorization"][:-3] + "AAA"}
    )
    invalid = await client.post("/notes", json={}, headers=headers)
    stranger = await client.post("/notes", json={}, headers={"Authorization": "Bearer a.b.c"})
    keyed = await client.post(
        "/notes", json={"text": "x"}, headers={**headers, "Idempotency-Key": "a key of it"}
    )
    async with db.session() as session:
        session.add(member)
        member.is_active = False
        await session.commit()
    off = await client.get("/me", headers=headers)

    assert (here.status_code, here.json()["role"]) == (200, "member")
    statuses = [each.status_code for each in (nobody, forged, invalid, stranger, keyed, off)]
    assert statuses == [401, 401, 422, 401, 200, 401]
    assert issuer.asked.total() == 1


def test_an_address_that_is_not_secure_stops_the_start() -> None:
    """The variable is named."""
    with pytest.raises(ConfigurationError, match=r"NEON_AUTH_BASE_URL: .*https"):
        neonkit.Settings(neon_auth_base_url="http://auth.example/x", _env_file=None)
