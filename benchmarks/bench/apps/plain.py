"""The same routes in plain session code, as SQLModel's docs teach it, and a transfer by one call.

Nothing of neonkit but `install`, its sessions and, for the transfer, `database.execute`.
"""

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, HTTPException
from sqlalchemy import text
from sqlmodel import col, func, or_, select

import neonkit
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
from neonkit import DatabaseDep, ReadSessionDep, SessionDep
from neonkit_starter.posts.models import Post
from neonkit_starter.users.models import User

app = FastAPI()
neonkit.install(app)

_MOVE = text(
    TRANSFER.format(
        payer="CAST(:payer AS integer)",
        payee="CAST(:payee AS integer)",
        amount="CAST(:amount AS numeric)",
    )
)
_TOTAL = select(func.count()).select_from(User).scalar_subquery()


@app.get("/users/{user_id}", response_model=UserRead)
async def read_user(user_id: int, session: ReadSessionDep) -> User:
    """Read one."""
    user = (await session.exec(select(User).where(User.id == user_id))).one_or_none()
    if user is None:
        raise HTTPException(404)
    return user


@app.get("/users/{user_id}/with-posts", response_model=UserReadWithPosts)
async def read_user_with_posts(user_id: int, session: ReadSessionDep) -> dict[str, Any]:
    """Read one with its relation."""
    user = await read_user(user_id, session)
    posts = select(Post).where(Post.author_id == user_id).order_by(col(Post.created_at).desc())
    return user.model_dump() | {"posts": (await session.exec(posts)).all()}


@app.get("/users", response_model=UserPage)
async def list_users(session: ReadSessionDep, offset: int = 0, limit: int = 100) -> dict[str, Any]:
    """List a page, with the total."""
    page = select(User, _TOTAL).order_by(col(User.id)).offset(offset).limit(limit)
    rows = (await session.exec(page)).all()
    return {"items": [user for user, _ in rows], "total": rows[0][1] if rows else 0}


@app.get("/search", response_model=list[UserRead])
async def search(q: str, session: ReadSessionDep) -> Sequence[User]:
    """Find some."""
    names = or_(
        col(User.username).icontains(q, autoescape=True),
        col(User.email).icontains(q, autoescape=True),
    )
    return (await session.exec(select(User).where(names).limit(20))).all()


@app.post("/posts", response_model=PostRead)
async def create_post(body: PostCreate, session: SessionDep) -> Post:
    """Create one and return it."""
    post = Post(**body.model_dump())
    session.add(post)
    await session.commit()
    return post


@app.patch("/posts/{post_id}", response_model=PostRead)
async def update_post(post_id: int, body: PostUpdate, session: SessionDep) -> Post:
    """Change one and return it."""
    post = await session.get(Post, post_id)
    if post is None:
        raise HTTPException(404)
    post.sqlmodel_update(body.model_dump(exclude_unset=True))
    await session.commit()
    return post


@app.post("/transfers", response_model=TransferRead)
async def create_transfer(body: TransferCreate, database: DatabaseDep) -> TransferRead:
    """Move money."""
    values = {"payer": body.from_account_id, "payee": body.to_account_id, "amount": body.amount}
    if not (await database.execute(_MOVE, parameters=values)).scalar_one():
        raise HTTPException(400)
    return TransferRead()
