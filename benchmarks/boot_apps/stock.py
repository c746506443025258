"""FastAPI and SQLModel on SQLAlchemy's own engine for asyncpg."""

import os
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException
from sqlalchemy import make_url
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel import Field, SQLModel
from sqlmodel.ext.asyncio.session import AsyncSession


class Note(SQLModel, table=True):
    """A note."""

    id: int | None = Field(default=None, primary_key=True)
    title: str


url = make_url(os.environ["NEON_DATABASE_URL"]).set(drivername="postgresql+asyncpg", query={})
new_session = async_sessionmaker(create_async_engine(url), class_=AsyncSession)
app = FastAPI()


async def get_session() -> AsyncIterator[AsyncSession]:
    """Lend a session to a request."""
    async with new_session() as session:
        yield session


@app.get("/notes/{note_id}")
async def read_note(note_id: int, session: Annotated[AsyncSession, Depends(get_session)]) -> Note:
    """Read one."""
    note = await session.get(Note, note_id)
    if note is None:
        raise HTTPException(404)
    return note
