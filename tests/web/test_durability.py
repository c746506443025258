"""A 2xx is durable: over TCP, a commit that fails is never a success."""

import logging

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import ForeignKeyConstraint
from sqlmodel import Field, func, select

import neonkit
from neonkit import Database, ReadSessionDep, SessionDep, Settings, TableModel
from neonkit.testing import LiveServer


class Pawn(TableModel, table=True):
    """A row whose reference is only checked by COMMIT."""

    __table_args__ = (
        ForeignKeyConstraint(
            ["king_id"], ["pawn.id"], name="fk_pawn_king", deferrable=True, initially="DEFERRED"
        ),
    )

    id: int | None = Field(default=None, primary_key=True)
    king_id: int | None = Field(default=None, index=True)


@pytest.fixture
def app() -> FastAPI:
    """Handlers that commit well, in vain, and not at all."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))

    @app.post("/pawns", status_code=201)
    async def add_pawn(session: SessionDep, king_id: int | None = None) -> int | None:
        pawn = Pawn(king_id=king_id)
        session.add(pawn)
        await session.commit()
        return pawn.id

    @app.post("/forgotten", status_code=201)
    async def forget_commit(session: SessionDep) -> int | None:
        pawn = Pawn()
        session.add(pawn)
        await session.flush()
        return pawn.id

    @app.post("/reading", status_code=201)
    async def write_while_reading(session: ReadSessionDep) -> None:
        session.add(Pawn())
        await session.commit()

    return app


async def _count(db: Database) -> int:
    async with db.read_session() as session:
        return (await session.exec(select(func.count()).select_from(Pawn))).one()


async def test_a_commit_that_fails_is_never_a_2xx(
    live_server: LiveServer, client: AsyncClient, db: Database
) -> None:
    """A deferred constraint fails in COMMIT: the client reads 4xx, and nothing is there."""
    assert live_server.url.startswith("http://127.0.0.1:")
    assert (await client.post("/pawns")).status_code == 201
    response = await client.post("/pawns", params={"king_id": 4711})

    assert response.status_code == 422
    assert response.json()["errors"][0]["pointer"] == "/query/king_id"
    assert await _count(db) == 1


async def test_a_forgotten_commit_is_a_500_that_names_the_fix(
    live_server: LiveServer,
    client: AsyncClient,
    db: Database,
    caplog: pytest.LogCaptureFixture,
) -> None:
    """The client hears of no success, and the log line names the route and what to add."""
    assert live_server.url
    with caplog.at_level(logging.ERROR, "neonkit.errors"):
        response = await client.post("/forgotten")

    assert response.status_code == 500
    assert response.json()["type"] == "/problems/internal"
    lines = [record.getMessage() for record in caplog.records if record.name == "neonkit.errors"]
    assert len(lines) == 1
    assert lines[0].startswith("POST /forgotten: UncommittedError: ")
    assert "await session.commit()" in lines[0]
    assert await _count(db) == 0


async def test_a_reading_session_does_not_write(client: AsyncClient, db: Database) -> None:
    """A write through `ReadSessionDep` is a defect of the app, not of the database."""
    assert (await client.post("/reading")).status_code == 500
    assert await _count(db) == 0
