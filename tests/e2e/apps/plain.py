"""An app in the manner of Neon's guide, wired by hand; only its engine is neonkit's."""

import os
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated

from fastapi import Depends, FastAPI
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlmodel import Field, SQLModel, select, text
from sqlmodel.ext.asyncio.session import AsyncSession

import neonkit

engine = neonkit.create_engine(os.environ["NEON_DATABASE_URL"])
AsyncSessionLocal = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)


async def get_async_session() -> AsyncGenerator[AsyncSession, None]:
    """Give a session to a request."""
    async with AsyncSessionLocal() as session:
        yield session


AsyncSessionDep = Annotated[AsyncSession, Depends(get_async_session)]


class Reader(SQLModel, table=True):
    """Somebody who reads."""

    id: int | None = Field(default=None, primary_key=True)
    username: str = Field(unique=True, max_length=50)


@asynccontextmanager
async def lifespan(_app: FastAPI) -> AsyncGenerator[None, None]:
    """Make the tables, and close the engine in the end."""
    async with engine.begin() as connection:
        await connection.run_sync(SQLModel.metadata.create_all)
    yield
    await engine.dispose()


app = FastAPI(lifespan=lifespan)


@app.post("/readers")
async def create_reader(username: str, session: AsyncSessionDep) -> Reader:
    """Add one, as the guide does."""
    reader = Reader(username=username)
    session.add(reader)
    await session.commit()
    await session.refresh(reader)
    return reader


@app.get("/readers")
async def list_readers(session: AsyncSessionDep) -> list[Reader]:
    """List them, as the guide does."""
    return list((await session.exec(select(Reader))).all())


@app.get("/tls")
async def tls(session: AsyncSessionDep) -> str | None:
    """What the server says of this very connection."""
    connection = await session.connection()
    statement = text("SELECT version FROM pg_stat_ssl WHERE pid = pg_backend_pid() AND ssl")
    version: str | None = (await connection.execute(statement)).scalar()
    return version
