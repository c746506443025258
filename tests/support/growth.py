"""What requests cost in services that differ in nothing but the number of their posts."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from secrets import token_hex
from typing import Any

import httpx2
from rich.progress import Progress
from sqlalchemy import text

import neonkit_starter
from neonkit import Database, create_engine
from neonkit.db import TimeoutPolicy, open_scope
from neonkit.dsn import Dsn
from neonkit.migrations import upgrade, upgrade_schema
from neonkit_starter.app import create_app
from neonkit_starter.demo_data import Plan, fill
from neonkit_starter.settings import StarterSettings
from support.plans import Node, buffers, explain, listening

WORD = "xqzjwk"  # none of its trigrams is in any word of the demo data
PLANTED = 20
MOST = 1.5
"""How many times the pages of the smallest service the largest may look at."""

_MIGRATIONS = Path(neonkit_starter.__file__).parent / "migrations"
_UNTIL = date(2026, 11, 1)
_PATIENT = TimeoutPolicy(statement=600.0)
_TABLES = {"users", "posts"}
_PLANT = text("UPDATE posts SET content = content || :word WHERE id % :step = :step / 2")
_FIND = text("SELECT count(*) FROM posts WHERE content ILIKE :part OR title ILIKE :part")


@dataclass(frozen=True)
class Cost:
    """What one request costs the database.

    Attributes:
        buffers: pages that its statements looked at.
        rows: how many rows it answered with.
        plan: the nodes that read a table, each with its index.
        is_by_index: whether nothing reads a whole table.
    """

    buffers: int
    rows: int
    plan: str
    is_by_index: bool


Costs = dict[str, Cost]


@asynccontextmanager
async def grown(server: Dsn, posts: int, progress: Progress) -> AsyncIterator[Dsn]:
    """Have a database with so many posts for the block, in 20 of which stands the planted word."""
    dsn = server.replace(database=f"growth_{posts}_{token_hex(4)}")
    async with _connected(server) as database:
        await _alone(database, f'CREATE DATABASE "{dsn.database}"')
        try:
            await upgrade_schema(dsn)
            await upgrade(dsn, _MIGRATIONS)
            await fill(dsn, Plan(posts // 10, posts, 1, _UNTIL), progress)
            async with _connected(dsn) as filled:
                await _plant(filled, posts)
            yield dsn
        finally:
            await _alone(database, f'DROP DATABASE "{dsn.database}" WITH (FORCE)')


@asynccontextmanager
async def _connected(dsn: Dsn) -> AsyncIterator[Database]:
    with open_scope():
        async with Database(create_engine(dsn, timeouts=_PATIENT)) as database:
            yield database


async def _alone(database: Database, statement: str) -> None:
    async with database.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(text(statement))


async def _plant(database: Database, posts: int) -> None:
    async with database.engine.begin() as connection:
        await connection.execute(_PLANT, {"word": f" {WORD}", "step": posts // PLANTED})
        for start in range(len(WORD) - 2):
            part = f"%{WORD[start : start + 3]}%"
            assert await connection.scalar(_FIND, {"part": part}) == PLANTED, part
    await _alone(database, "VACUUM (ANALYZE) posts")


async def measure(dsn: Dsn, posts: int, others: Sequence[str] = ()) -> Costs:
    """Send each kind of request, and explain what it sent.

    Args:
        dsn: from `grown`.
        posts: how many there are.
        others: further queries of the list of posts.
    """
    settings = StarterSettings(
        _env_file=None,  # pyright: ignore[reportCallIssue]  # pydantic-settings' own
        environment="test",
        neon_database_url=dsn.for_libpq(),
        secret_key=token_hex(32),
    )
    app = create_app(settings)
    transport = httpx2.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx2.AsyncClient(transport=transport, base_url="http://growth/api/v1") as client,
    ):
        asked = {
            "read": f"/{posts // 2}",
            "search": f"?q={WORD}",
            "first page": "",
            "deep page": f"?cursor={await _half_way(client, posts)}",
            "estimated total": "?total=estimated",
            "search, estimated total": f"?q={WORD}&total=estimated",
            **{other: other for other in others},
        }
        return {
            name: await _cost(app.state.neonkit.database, client, asked[name]) for name in asked
        }


async def _half_way(client: httpx2.AsyncClient, posts: int) -> str:
    """Page to the middle of the list, and give the cursor."""
    cursor = ""
    for _ in range(posts // 2 // 100):
        answer = await client.get(f"/posts?limit=100{cursor and f'&cursor={cursor}'}")
        cursor = answer.json()["next_cursor"]
    return cursor


async def _cost(database: Database, client: httpx2.AsyncClient, path: str) -> Cost:
    with listening(database) as sent:
        answer = await client.get(f"/posts{path}")
    assert answer.status_code == 200, answer.text
    assert sent
    plans = [await explain(database, each) for each in sent]
    scans = [node for nodes in plans for node in nodes if _reads(node)]
    return Cost(
        sum(map(buffers, plans)),
        len(answer.json().get("items", [answer.json()])),
        ", ".join(_named(node) for node in scans),
        all(node["Node Type"] != "Seq Scan" for node in scans),
    )


def _reads(node: Node) -> bool:
    return "Index Name" in node or node.get("Relation Name") in _TABLES


def _named(node: dict[str, Any]) -> str:
    where = node.get("Index Name") or node["Relation Name"]
    return f"{node['Node Type']} {where}"


def growth_of(costs: Sequence[Costs], name: str) -> float:
    """The pages of the dearest service over those of the cheapest."""
    pages = [each[name].buffers for each in costs]
    return max(pages) / min(pages)
