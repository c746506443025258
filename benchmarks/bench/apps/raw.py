"""FastAPI on asyncpg with SQL written by hand, as carefully as that is done.

Its pool keeps as many connections as the others may open, and sends nothing when it takes one back.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import asyncpg
from fastapi import FastAPI, HTTPException
from pydantic import TypeAdapter
from sqlalchemy import make_url

from benchmarks.bench.apps.schemas import (
    PostCreate,
    PostRead,
    PostUpdate,
    TransferCreate,
    TransferRead,
    UserPage,
    UserRead,
    UserReadWithPosts,
)
from benchmarks.bench.apps.statements import TRANSFER

_USER = "id, username, email, role, is_active, created_at"
_POST = "id, author_id, title, content, created_at, updated_at"

READ = f"SELECT {_USER} FROM users WHERE id = $1"  # noqa: S608  # of our own constants
LIST = f"""
SELECT {_USER}, (SELECT count(*) FROM users) AS total FROM users ORDER BY id LIMIT $1 OFFSET $2
"""  # noqa: S608  # as above
SEARCH = f"SELECT {_USER} FROM users WHERE username ILIKE $1 OR email ILIKE $1 LIMIT 20"  # noqa: S608  # as above
WITH_POSTS = f"""
SELECT {_USER}, (
  SELECT coalesce(json_agg(json_build_object(
    'id', id, 'author_id', author_id, 'title', title, 'content', content,
    'created_at', created_at, 'updated_at', updated_at) ORDER BY created_at DESC, id DESC), '[]')
  FROM posts WHERE author_id = users.id
) AS posts FROM users WHERE id = $1
"""  # noqa: S608  # as above
CREATE = f"INSERT INTO posts (author_id, title, content) VALUES ($1, $2, $3) RETURNING {_POST}"  # noqa: S608  # as above
PATCH = f"""
UPDATE posts SET title = coalesce($2, title), content = coalesce($3, content), updated_at = now()
WHERE id = $1 RETURNING {_POST}
"""  # noqa: S608  # as above
_POSTS = TypeAdapter(list[PostRead])
MOVE = TRANSFER.format(payer="$1::integer", payee="$2::integer", amount="$3::numeric")


async def _keep(_connection: object) -> None:
    """Leave a connection as it is when it comes back: nothing here changes its state."""


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep the pool."""
    url = make_url(os.environ["NEON_DATABASE_URL"]).set(query={})
    dsn = url.render_as_string(hide_password=False)
    async with asyncpg.create_pool(dsn, min_size=15, max_size=15, reset=_keep) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


async def _row(statement: str, *values: object) -> dict[str, Any]:
    row = await app.state.pool.fetchrow(statement, *values)
    if row is None:
        raise HTTPException(404)
    return dict(row)


@app.get("/users/{user_id}", response_model=UserRead)
async def read_user(user_id: int) -> dict[str, Any]:
    """Read one."""
    return await _row(READ, user_id)


@app.get("/users/{user_id}/with-posts", response_model=UserReadWithPosts)
async def read_user_with_posts(user_id: int) -> UserReadWithPosts:
    """Read one with its relation."""
    row = await _row(WITH_POSTS, user_id)
    posts = _POSTS.validate_json(row.pop("posts"))
    return UserReadWithPosts(**row, posts=posts)


@app.get("/users", response_model=UserPage)
async def list_users(offset: int = 0, limit: int = 100) -> dict[str, Any]:
    """List a page, with the total."""
    rows = await app.state.pool.fetch(LIST, limit, offset)
    return {"items": [dict(row) for row in rows], "total": rows[0]["total"] if rows else 0}


@app.get("/search", response_model=list[UserRead])
async def search(q: str) -> list[dict[str, Any]]:
    """Find some."""
    return [dict(row) for row in await app.state.pool.fetch(SEARCH, f"%{q}%")]


@app.post("/posts", response_model=PostRead)
async def create_post(body: PostCreate) -> dict[str, Any]:
    """Create one and return it."""
    return await _row(CREATE, body.author_id, body.title, body.content)


@app.patch("/posts/{post_id}", response_model=PostRead)
async def update_post(post_id: int, body: PostUpdate) -> dict[str, Any]:
    """Change one and return it."""
    return await _row(PATCH, post_id, body.title, body.content)


@app.post("/transfers", response_model=TransferRead)
async def create_transfer(body: TransferCreate) -> TransferRead:
    """Move money."""
    if not await app.state.pool.fetchval(
        MOVE, body.from_account_id, body.to_account_id, body.amount
    ):
        raise HTTPException(400)
    return TransferRead()
