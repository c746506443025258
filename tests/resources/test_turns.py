"""Reads that cost much: a few at a time, so that others keep their connections."""

import asyncio

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from pydantic import BaseModel
from sqlalchemy import Boolean, Integer, func, literal, select, true
from sqlmodel import Field, col

import neonkit
from neonkit import Database, Page, PageDep, ReadSessionDep, Settings, TableModel, paginate
from neonkit.resources import PageRequest
from neonkit.resources._turns import AT_A_TIME, LARGE_AT_A_TIME

SLOW = 0.6
"""Seconds that a list takes: two rounds of them are longer than anybody waits."""


class Leaf(TableModel, table=True):
    """One row, which is read slowly."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=50)
    text: str = ""


class LeafRead(BaseModel):
    """A leaf, as clients see one."""

    name: str
    text: str


@pytest.fixture
def app() -> FastAPI:
    """An app with a list that takes its time, and one that does not."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))

    @app.get("/leaves")
    async def list_leaves(session: ReadSessionDep, page: PageDep) -> Page[LeafRead]:
        waiting = select(func.pg_sleep(SLOW).label("slept")).subquery()
        slow = select(col(Leaf.name), col(Leaf.text)).join(waiting, true())
        return await paginate(session, slow, page, sort=[col(Leaf.name)], search=[col(Leaf.name)])

    @app.get("/quick")
    async def quick(session: ReadSessionDep) -> int:
        return await session.scalar(select(literal(1, Integer))) or 0

    return app


@pytest.mark.real_commits
@pytest.mark.parametrize(
    ("query", "is_bounded"),
    [("total=exact", True), ("q=a", True), ("q=ab", True), ("q=abc", False), ("", False)],
)
async def test_reads_of_a_whole_table(
    client: AsyncClient, db: Database, query: str, is_bounded: bool
) -> None:
    """Of ten, the first few and who got their turn within a second are served; the rest is 503."""
    async with db.session() as session:
        session.add(Leaf(name="abc"))
        await session.commit()
    asked = [asyncio.create_task(client.get(f"/leaves?{query}")) for _ in range(10)]
    await asyncio.sleep(0.1)
    quick = await client.get("/quick")
    answers = [await each for each in asked]

    assert quick.json() == 1
    refused = [answer for answer in answers if answer.status_code == 503]
    assert len(answers) - len(refused) >= (AT_A_TIME if is_bounded else len(answers))
    assert bool(refused) is is_bounded
    for answer in refused:
        assert answer.json()["type"] == "/problems/overloaded"
        assert answer.headers["retry-after"] == "1"
    again = await client.get("/leaves?total=exact")
    assert again.json()["total"] == 1


@pytest.mark.real_commits
async def test_large_pages(client: AsyncClient, db: Database) -> None:
    """Once the rows are known to be large, few are read together; a small page never waits."""
    async with db.session() as session:
        session.add(Leaf(name="abc", text="x" * 20_000))
        await session.commit()
    large, small = "/leaves?limit=100", "/leaves?limit=10"
    assert (await client.get(large)).status_code == 200
    answers = await asyncio.gather(*(client.get(each) for each in [large] * 10 + [small] * 4))
    refused = [answer for answer in answers if answer.status_code == 503]

    assert LARGE_AT_A_TIME <= 10 - len(refused) < 10
    assert all(answer.json()["type"] == "/problems/overloaded" for answer in refused)
    assert [answer.status_code for answer in answers[10:]] == [200] * 4


async def test_a_script_waits_for_nobody(db: Database) -> None:
    """Outside of a request there is no bound."""

    async def count() -> int | None:
        async with db.read_session() as session:
            page = PageRequest(total="exact")
            leaves = select(col(Leaf.id), literal(value=True, type_=Boolean).label("is_green"))
            return (await paginate(session, leaves, page, sort=[col(Leaf.id)])).total

    assert [await count() for _ in range(AT_A_TIME * 2)] == [0] * AT_A_TIME * 2
