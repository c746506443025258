"""The app of the first evening under uvicorn alone: its promises need no server of ours.

`WAKE_SECONDS=3` makes the wake-up as long as a slow one of Neon's.
"""

import asyncio
import os
from collections import Counter

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient, Timeout
from sqlalchemy import insert
from sqlmodel import Field, SQLModel, col, select

import neonkit
from neonkit import Database, DatabaseDep, IdempotencyKey, ReadSessionDep, SessionDep, TableModel
from neonkit.local import WireProxy
from neonkit.testing import LiveServer

pytestmark = pytest.mark.both_drivers

_WAKE_SECONDS = float(os.environ.get("WAKE_SECONDS", "1"))


class Memo(TableModel, table=True):
    """What is written down."""

    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(unique=True, max_length=200)


class MemoIn(SQLModel):
    """What a client sends."""

    title: str = Field(min_length=1, max_length=200)


@pytest.fixture
def app() -> FastAPI:
    """Plain session code, a route with a key, one with a transaction, and a list."""
    app = FastAPI()
    neonkit.install(app, neonkit.Settings(environment="test"))

    @app.post("/plain", status_code=201)
    async def create_plain(body: MemoIn, session: SessionDep) -> str:
        memo = Memo(title=body.title)
        session.add(memo)
        await session.commit()
        return memo.title

    @app.post("/keyed", status_code=201)
    async def create_keyed(body: MemoIn, database: DatabaseDep, key: IdempotencyKey) -> str:
        new = insert(Memo).values(title=body.title).returning(col(Memo.title))
        return str((await database.execute(new, key)).scalar_one())

    @app.post("/run", status_code=201)
    async def create_in_transaction(body: MemoIn, database: DatabaseDep) -> str:
        async def work(session: neonkit.AsyncSession) -> str:
            session.add(Memo(title=body.title))
            await session.flush()
            session.add(Memo(title=f"{body.title}, again"))
            return body.title

        return await database.run_transaction(work)

    @app.get("/memos")
    async def list_memos(session: ReadSessionDep) -> list[str]:
        return list((await session.exec(select(Memo.title))).all())

    return app


@pytest.fixture
def over_tcp(
    live_server: LiveServer,  # noqa: ARG001  # asking for it serves by uvicorn alone
    neon: WireProxy,  # noqa: ARG001  # and this puts a wire in front of the database
    client: AsyncClient,
) -> AsyncClient:
    """A client of the app, over TCP."""
    client.timeout = Timeout(30)
    return client


async def _post(client: AsyncClient, path: str, title: str) -> tuple[int, str]:
    headers = {"Idempotency-Key": f"key-of-{title}"} if path == "/keyed" else {}
    answer = await client.post(path, json={"title": title}, headers=headers)
    slug = answer.json()["type"].rpartition("/")[2] if answer.status_code >= 400 else ""
    return answer.status_code, slug


async def _titles(db: Database) -> Counter[str]:
    return Counter((await db.execute(select(Memo.title))).scalars())


async def test_a_wake_up_is_latency(over_tcp: AsyncClient, neon: WireProxy, db: Database) -> None:
    """Sixty requests of all kinds wait for it, each is answered well, once, over few connects."""
    await over_tcp.get("/memos")
    neon.suspend(wake_seconds=_WAKE_SECONDS)
    before = neon.arrivals
    writing = [
        _post(over_tcp, path, f"{path} {number}")
        for number in range(15)
        for path in ("/plain", "/keyed", "/run")
    ]
    reading = [over_tcp.get("/memos") for _ in range(15)]
    answers, lists = await asyncio.gather(asyncio.gather(*writing), asyncio.gather(*reading))
    assert Counter(answers) == {(201, ""): 45}
    assert {answer.status_code for answer in lists} == {200}
    assert neon.arrivals - before <= 15 + 1
    titles = await _titles(db)
    assert (len(titles), titles.total()) == (60, 60)


async def test_a_lost_commit(over_tcp: AsyncClient, neon: WireProxy, db: Database) -> None:
    """Under a key, and in `run_transaction`, nobody notices it; a plain session says so."""
    await over_tcp.get("/memos")
    answers = {}
    for path in ("/keyed", "/plain", "/run"):
        neon.cut_at("commit" if path == "/run" else "statement", when="after")
        answers[path] = await _post(over_tcp, path, path)
    neon.cut_at("statement", when="after")
    assert (await over_tcp.get("/memos")).status_code == 200
    assert neon.cuts == 4
    assert answers == {"/keyed": (201, ""), "/plain": (503, "outcome-unknown"), "/run": (201, "")}
    assert await _titles(db) == {"/keyed": 1, "/plain": 1, "/run": 1, "/run, again": 1}


async def test_half_open_sockets(over_tcp: AsyncClient, neon: WireProxy, db: Database) -> None:
    """What went into a dead one is sent again, but for a write that nothing tells apart."""
    paths = ("/keyed", "/plain", "/run")
    await asyncio.gather(*(over_tcp.get("/memos") for _ in range(4)))
    neon.unplug()
    asking = [asyncio.create_task(_post(over_tcp, path, path)) for path in paths]
    reading = asyncio.create_task(over_tcp.get("/memos"))
    await asyncio.sleep(3)  # the kernel gives up after 2.5
    neon.plug_in()
    answers = dict(zip(paths, await asyncio.gather(*asking), strict=True))
    assert (await reading).status_code == 200
    is_sent_again = answers["/plain"] == (201, "")  # where only its preparation was lost
    plain = (201, "") if is_sent_again else (503, "outcome-unknown")
    assert answers == {"/keyed": (201, ""), "/plain": plain, "/run": (201, "")}
    titles = await _titles(db)
    assert [titles[path] for path in ("/keyed", "/run", "/run, again")] == [1, 1, 1]
    assert titles["/plain"] <= 1
    assert titles["/plain"] or not is_sent_again
