"""FastAPI and SQLModel with neonkit: all that `install` brings."""

from fastapi import FastAPI
from sqlmodel import Field

import neonkit
from neonkit import ReadSessionDep, TableModel, existing


class Note(TableModel, table=True):
    """A note."""

    id: int | None = Field(default=None, primary_key=True)
    title: str


app = FastAPI()
neonkit.install(app)


@app.get("/notes/{note_id}")
async def read_note(note_id: int, session: ReadSessionDep) -> Note:
    """Read one."""
    return existing(await session.get(Note, note_id))
