"""The way of Neon's guide: its engine, its session, its queries, its middleware and its handlers.

Mended only so that it runs, as a module with every name imported: the URL's parameters are those
that asyncpg takes, `from_orm` is `model_validate`, and a settings class that cannot be imported is
the environment variable that it reads.
"""

import logging
import os
import time
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from decimal import Decimal
from typing import Annotated, Any

from fastapi import Depends, FastAPI, HTTPException, Request, Response, status
from fastapi.responses import JSONResponse
from sqlalchemy import event, select
from sqlalchemy.engine import Engine, make_url
from sqlalchemy.exc import IntegrityError, SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.orm import selectinload
from sqlalchemy.pool import AsyncAdaptedQueuePool
from sqlmodel import col, func
from starlette.middleware.base import BaseHTTPMiddleware

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
from benchmarks.bench.apps.source_models import Account, Post, Source, User

logger = logging.getLogger(__name__)

DATABASE_URL = make_url(os.environ["NEON_DATABASE_URL"]).set(
    drivername="postgresql+asyncpg", query={}
)

engine = create_async_engine(
    DATABASE_URL,
    poolclass=AsyncAdaptedQueuePool,
    pool_size=5,
    max_overflow=10,
    pool_pre_ping=True,
    pool_recycle=3600,
    pool_timeout=30,
    echo=False,
    connect_args={"server_settings": {"application_name": "my-fastapi-app"}},
)
AsyncSessionLocal = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)


async def get_async_session() -> AsyncGenerator[AsyncSession, None]:
    """Give a session to a request."""
    async with AsyncSessionLocal() as session:
        yield session


AsyncSessionDep = Annotated[AsyncSession, Depends(get_async_session)]


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
    """Make the tables, and close the engine in the end."""
    async with engine.begin() as connection:
        await connection.run_sync(Source.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


class QueryTimingMiddleware(BaseHTTPMiddleware):
    """Says how long a request took."""

    async def dispatch(
        self, request: Request, call_next: Callable[[Request], Awaitable[Response]]
    ) -> Response:
        """Time the rest of the app."""
        start_time = time.time()
        response = await call_next(request)
        process_time = time.time() - start_time
        request.state.process_time = process_time
        logger.info(f"Request {request.method} {request.url.path} took {process_time:.3f}s")  # noqa: G004  # the guide's
        response.headers["X-Process-Time"] = f"{process_time:.3f}s"
        return response


app.add_middleware(QueryTimingMiddleware)


@app.exception_handler(IntegrityError)
async def integrity_error_handler(_request: Request, exc: IntegrityError) -> JSONResponse:
    """Answer a broken constraint."""
    logger.error(f"Integrity error: {exc}")  # noqa: G004  # the guide's
    if "duplicate key value violates unique constraint" in str(exc.orig):
        content = {"detail": "A record with this unique value already exists"}
        return JSONResponse(content, status.HTTP_409_CONFLICT)
    return JSONResponse({"detail": "An integrity error occurred"}, 500)


@event.listens_for(Engine, "before_cursor_execute")
def before_cursor_execute(*call: Any) -> None:  # SQLAlchemy's six
    """Note when a statement starts."""
    call[4]._query_start_time = time.time()  # noqa: SLF001  # the guide's


@event.listens_for(Engine, "after_cursor_execute")
def after_cursor_execute(*call: Any) -> None:  # SQLAlchemy's six
    """Warn of a slow one."""
    total = time.time() - call[4]._query_start_time  # noqa: SLF001  # the guide's
    if total > 1.0:
        logger.warning(f"Slow query detected ({total:.2f}s): {call[2][:100]}...")  # noqa: G004  # the guide's


async def get_user_by_id(session: AsyncSession, user_id: int) -> User | None:
    """Find a user."""
    result = await session.execute(select(User).where(col(User.id) == user_id))
    return result.scalar_one_or_none()


async def get_post_by_id(session: AsyncSession, post_id: int) -> Post | None:
    """Find a post, as the guide finds a user."""
    result = await session.execute(select(Post).where(col(Post.id) == post_id))
    return result.scalar_one_or_none()


async def get_paginated_users(
    session: AsyncSession, offset: int, limit: int
) -> tuple[Sequence[User], int]:
    """Find a page of users, and count all."""
    count_result = await session.execute(select(func.count(col(User.id))))
    total_count: int = count_result.scalar_one()
    result = await session.execute(select(User).offset(offset).limit(limit))
    return result.scalars().all(), total_count


async def search_users(session: AsyncSession, search_term: str) -> Sequence[User]:
    """Find users by a part of their name or address."""
    statement = select(User).where(
        (col(User.username).ilike(f"%{search_term}%")) | (col(User.email).ilike(f"%{search_term}%"))
    )
    return (await session.execute(statement)).scalars().all()


async def get_user_with_posts_optimized(session: AsyncSession, user_id: int) -> User | None:
    """Find a user and all posts."""
    posts = selectinload(User.posts)  # type: ignore[arg-type]  # SQLModel types it as a list
    result = await session.execute(select(User).options(posts).where(col(User.id) == user_id))
    return result.scalar_one_or_none()


async def add_post(session: AsyncSession, post: Post) -> Post:
    """Keep a post, as the guide keeps a user."""
    session.add(post)
    await session.commit()
    await session.refresh(post)
    return post


async def change_post(session: AsyncSession, post_id: int, changes: dict[str, Any]) -> Post | None:
    """Change a post, as the guide changes a user."""
    db_post = await get_post_by_id(session, post_id)
    if db_post:
        for key, value in changes.items():
            setattr(db_post, key, value)
        await session.commit()
        await session.refresh(db_post)
        return db_post
    return None


async def transfer_funds(
    session: AsyncSession, from_account_id: int, to_account_id: int, amount: Decimal
) -> None:
    """Move money."""
    try:
        from_account = await session.get(Account, from_account_id)
        to_account = await session.get(Account, to_account_id)
        if not from_account or not to_account:
            raise HTTPException(status_code=404, detail="Account not found")
        if from_account.balance < amount:
            raise HTTPException(status_code=400, detail="Insufficient funds")
        from_account.balance -= amount
        to_account.balance += amount
        await session.commit()
    except SQLAlchemyError as e:
        await session.rollback()
        logger.error(f"Transaction failed: {e}")  # noqa: G004  # the guide's
        raise HTTPException(status_code=500, detail="Transaction failed") from None


def _found(thing: Any) -> Any:  # noqa: ANN401  # FastAPI's response model decides
    if thing is None:
        raise HTTPException(status_code=404, detail="Not found")
    return thing


@app.get("/users/{user_id}", response_model=UserRead)
async def read_user(user_id: int, session: AsyncSessionDep) -> Any:  # noqa: ANN401  # as above
    """Read one."""
    return _found(await get_user_by_id(session, user_id))


@app.get("/users/{user_id}/with-posts", response_model=UserReadWithPosts)
async def read_user_with_posts(user_id: int, session: AsyncSessionDep) -> Any:  # noqa: ANN401  # as above
    """Read one with its relation."""
    return _found(await get_user_with_posts_optimized(session, user_id))


@app.get("/users", response_model=UserPage)
async def list_users(session: AsyncSessionDep, offset: int = 0, limit: int = 100) -> Any:  # noqa: ANN401  # as above
    """List a page, with the total."""
    items, total = await get_paginated_users(session, offset, limit)
    return {"items": items, "total": total}


@app.get("/search", response_model=list[UserRead])
async def search(session: AsyncSessionDep, q: str) -> Any:  # noqa: ANN401  # as above
    """Find some."""
    return await search_users(session, q)


@app.post("/posts", response_model=PostRead)
async def create_post(body: PostCreate, session: AsyncSessionDep) -> Any:  # noqa: ANN401  # as above
    """Create one and return it."""
    return await add_post(session, Post.model_validate(body.model_dump()))


@app.patch("/posts/{post_id}", response_model=PostRead)
async def update_post(post_id: int, body: PostUpdate, session: AsyncSessionDep) -> Any:  # noqa: ANN401  # as above
    """Change one and return it."""
    return _found(await change_post(session, post_id, body.model_dump(exclude_unset=True)))


@app.post("/transfers", response_model=TransferRead)
async def create_transfer(body: TransferCreate, session: AsyncSessionDep) -> TransferRead:
    """Move money."""
    await transfer_funds(session, body.from_account_id, body.to_account_id, body.amount)
    return TransferRead()
