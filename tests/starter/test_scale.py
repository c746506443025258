"""With 10,000 users and 100,000 posts every list answers through an index, and pages cost alike."""

from typing import Any

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import text

from neonkit import Database
from neonkit.auth import issue_access_token
from starter.conftest import API
from support.plans import Node, Sent, buffers, explain, listening

pytestmark = pytest.mark.real_commits

USERS, POSTS = 10_000, 100_000
ROWS = {"users": USERS, "posts": POSTS}
FILL_USERS = text("""
INSERT INTO users (username, email, hashed_password, role, is_active, created_at)
SELECT 'user' || i, md5(i::text) || '@example.com', '-',
       CASE WHEN i = 1 THEN 'admin' WHEN i % 500 = 0 THEN 'moderator' ELSE 'user' END,
       i % 200 <> 0, timestamptz '2024-01-01Z' + i * interval '1 hour'
FROM generate_series(1, :users) AS i
""")
FILL_POSTS = text("""
INSERT INTO posts (author_id, title, content, created_at)
SELECT 1 + (i * 7919) % :users, 'about ' || md5((i % 5000)::text),
       md5(i::text) || ' and ' || md5((-i)::text)
       || CASE WHEN i % 5000 = 7 THEN ' zanzibar' ELSE '' END,
       timestamptz '2024-01-01Z' + (i * 7919 % 1000000) * interval '1 minute'
FROM generate_series(CAST(:first AS integer), :first + 9999) AS i
""")
LISTS = [
    "/posts",
    "/posts?limit=100",
    "/posts?sort=created_at",
    "/posts?sort=id",
    "/posts?sort=-id",
    "/posts?sort=title",
    "/posts?sort=-title",
    "/posts?sort=title,-id",
    "/posts?author_id=77",
    "/posts?author_id=77&sort=title",
    "/posts?author_id=77&sort=id",
    "/posts?offset=1000",
    "/users/77/posts",
    "/users/77?include=posts",
    "/users",
    "/users?sort=-id",
    "/users?sort=username",
    "/users?sort=-username",
    "/users?sort=created_at",
    "/users?sort=-created_at",
    "/users?role=moderator",
    "/users?is_active=false",
    "/users?offset=1000",
    "/posts/5",
    "/users/5",
]
SEARCHES = [
    "/posts?q=zanzibar",
    "/posts?q=ZANZ",
    "/posts?q=zan",
    "/posts?q=c4ca4238a0b9",
    "/posts?q=nothing-like-it",
    "/posts?q=zanzibar&sort=title",
    "/posts?q=zanzibar&total=exact",
    "/users?q=user9999",
    "/users?q=c4ca4238a0b9%40example",
    "/users?q=nobody-at-all",
]


class Library:
    """The filled service."""

    def __init__(self, client: AsyncClient, db: Database, headers: dict[str, str]) -> None:
        self.client = client
        self.db = db
        self.headers = headers

    async def ask(self, path: str) -> tuple[dict[str, Any], list[Sent]]:
        """Send a request; its answer, and what it sent."""
        with listening(self.db) as sent:
            answer = await self.client.get(API + path, headers=self.headers)
        assert answer.status_code == 200, answer.text
        assert sent
        body: dict[str, Any] = answer.json()
        return body, sent


def _discarded(node: Node) -> int:
    keys = ("Rows Removed by Filter", "Rows Removed by Index Recheck")
    return int(sum(node.get(key, 0) for key in keys) * node["Actual Loops"])


@pytest.fixture
async def library(app: FastAPI, client: AsyncClient, db: Database) -> Library:
    """The service with its rows, as its administrator sees it."""
    async with db.engine.connect() as connection:
        await connection.execution_options(isolation_level="AUTOCOMMIT")
        await connection.execute(FILL_USERS, {"users": USERS})
        for first in range(1, POSTS, 10_000):
            await connection.execute(FILL_POSTS, {"users": USERS, "first": first})
        await connection.execute(text("VACUUM ANALYZE users, posts"))
    token = issue_access_token(app.state.neonkit.tokens, "1")
    return Library(client, db, {"Authorization": f"Bearer {token}"})


async def test_lists_searches_and_pages_at_scale(library: Library) -> None:
    """No sequential scan; a search discards under 5 % of the rows; page 1,000 costs as page 1."""
    faults: list[tuple[object, ...]] = []
    for path in LISTS + SEARCHES:
        body, sent = await library.ask(path)
        if path.startswith("/posts?q=") and "nothing" not in path:
            assert body["items"], path
        for each in sent:
            nodes = await explain(library.db, each)
            faults += [(path, node["Relation Name"]) for node in nodes if _scans(node)]
            faults += [
                (path, node["Node Type"], _discarded(node))
                for node in nodes
                if path in SEARCHES and _discarded(node) > _most_discarded(path)
            ]
    assert faults == []

    costs: dict[str, list[int]] = {}
    for path in ("/posts?limit=20", "/posts?limit=20&sort=title", "/posts?limit=20&sort=id"):
        cursor = ""
        for number in range(1, 1001):
            body, sent = await library.ask(path + cursor)
            if number in {1, 2, 1000}:
                found = [buffers(await explain(library.db, each)) for each in sent]
                costs.setdefault(path, []).append(sum(found))
            cursor = f"&cursor={body['next_cursor']}"
    for path, (first, second, last) in costs.items():
        assert last <= max(first, second) * 1.5 + 4, (path, costs)


def _scans(node: Node) -> bool:
    return node["Node Type"] == "Seq Scan" and node["Relation Name"] in ROWS


def _most_discarded(path: str) -> int:
    return ROWS["posts" if path.startswith("/posts") else "users"] // 20
