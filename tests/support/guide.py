"""An app that somebody has: that of Neon's guide, mended only so that it starts."""

GUIDE = """\
import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from enum import Enum
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import func
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import selectinload, sessionmaker
from sqlmodel import Field, Relationship, SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

DATABASE_URL = os.environ["NEON_DATABASE_URL"]
ASYNC_DATABASE_URL = DATABASE_URL.replace("postgresql://", "postgresql+asyncpg://")

engine = create_async_engine(ASYNC_DATABASE_URL, pool_pre_ping=True)
AsyncSessionLocal = sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)


async def get_async_session() -> AsyncGenerator[AsyncSession, None]:
    async with AsyncSessionLocal() as session:
        yield session


AsyncSessionDep = Annotated[AsyncSession, Depends(get_async_session)]


class UserRole(str, Enum):
    ADMIN = "admin"
    USER = "user"
    MODERATOR = "moderator"


class User(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    username: str = Field(unique=True, min_length=3, max_length=50)
    email: str = Field(unique=True, min_length=5, max_length=100)
    hashed_password: str = Field(min_length=8)
    role: UserRole = Field(default=UserRole.USER)
    is_active: bool = Field(default=True)
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    posts: list["Post"] = Relationship(back_populates="author")


class Post(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(min_length=1, max_length=200)
    content: str = Field(min_length=1)
    author_id: int = Field(foreign_key="user.id")
    created_at: datetime = Field(default_factory=lambda: datetime.now(UTC))
    updated_at: datetime | None = Field(default=None)
    author: User = Relationship(back_populates="posts")


class UserCreate(SQLModel):
    username: str
    email: str
    hashed_password: str


class UserRead(SQLModel):
    id: int
    username: str
    role: UserRole


@asynccontextmanager
async def lifespan(app: FastAPI):
    async with engine.begin() as conn:
        await conn.run_sync(SQLModel.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.get("/users/", response_model=list[UserRead])
async def read_users(session: AsyncSessionDep, offset: int = 0, limit: int = 20):
    total = (await session.execute(select(func.count(User.id)))).scalar_one()
    result = await session.execute(select(User).offset(offset).limit(limit))
    users = result.scalars().all()
    assert total >= len(users)
    return users


@app.get("/users/{user_id}", response_model=UserRead)
async def read_user(user_id: int, session: AsyncSessionDep):
    user = (await session.execute(select(User).where(User.id == user_id))).scalar_one_or_none()
    if user is None:
        raise HTTPException(404)
    return user


@app.get("/users/{user_id}/posts")
async def read_posts(user_id: int, session: AsyncSessionDep):
    statement = select(User).options(selectinload(User.posts)).where(User.id == user_id)
    return (await session.execute(statement)).scalar_one().posts


@app.post("/users/", response_model=UserRead)
async def create_user(user: UserCreate, session: AsyncSessionDep):
    db_user = User.model_validate(user)
    session.add(db_user)
    await session.commit()
    await session.refresh(db_user)
    return db_user


@app.patch("/users/{user_id}", response_model=UserRead)
async def update_user(user_id: int, user_update: dict, session: AsyncSessionDep):
    db_user = (await session.execute(select(User).where(User.id == user_id))).scalar_one()
    for key, value in user_update.items():
        setattr(db_user, key, value)
    await session.commit()
    await session.refresh(db_user)
    return db_user


@app.delete("/users/{user_id}")
async def delete_user(user_id: int, session: AsyncSessionDep):
    db_user = (await session.execute(select(User).where(User.id == user_id))).scalar_one()
    await session.delete(db_user)
    await session.commit()
"""
