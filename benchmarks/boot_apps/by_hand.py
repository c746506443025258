"""FastAPI on asyncpg, with SQL by hand and no table class."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
from fastapi import FastAPI, HTTPException
from pydantic import BaseModel


class Note(BaseModel):
    """A note, as clients see one."""

    id: int
    title: str


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep the pool."""
    async with asyncpg.create_pool(os.environ["NEON_DATABASE_URL"], min_size=1) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


@app.get("/notes/{note_id}", response_model=Note)
async def read_note(note_id: int) -> dict[str, object]:
    """Read one."""
    row = await app.state.pool.fetchrow("SELECT id, title FROM note WHERE id = $1", note_id)
    if row is None:
        raise HTTPException(404)
    return dict(row)
