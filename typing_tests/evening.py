"""The app of a first evening, as README has it: each handler's types are what it says they are."""

from typing import assert_type

from fastapi import FastAPI
from sqlmodel import Field, SQLModel, col, select

import neonkit
from neonkit import InputModel, Page, PageDep, ReadSessionDep, SessionDep, TableModel, paginate
from neonkit.resources import PageRequest

app = FastAPI()
assert_type(neonkit.install(app), None)


class NoteCreate(InputModel):
    """What a client sends."""

    title: str = Field(min_length=1, max_length=200)


class Note(TableModel, table=True):
    """What is kept."""

    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(unique=True, max_length=200)


class NoteRead(SQLModel):
    """What a client gets."""

    id: int
    title: str


@app.post("/notes", response_model=NoteRead, status_code=201)
async def create_note(body: NoteCreate, session: SessionDep) -> Note:
    """The session is ours, and a table class validates like any model."""
    assert_type(session, neonkit.AsyncSession)
    note = assert_type(Note.model_validate(body), Note)
    session.add(note)
    await session.commit()
    return note


@app.get("/notes", response_model=Page[NoteRead])
async def list_notes(session: ReadSessionDep, page: PageDep) -> Page[Note]:
    """A page is of what the statement selects."""
    assert_type(session, neonkit.AsyncSession)
    assert_type(page, PageRequest)
    return assert_type(await paginate(session, select(Note), page, sort=[col(Note.id)]), Page[Note])
