# notes.py                    neonkit dev notes:app
from fastapi import FastAPI
from sqlmodel import Field, SQLModel, col, select

import neonkit
from neonkit import InputModel, Page, PageDep, ReadSessionDep, SessionDep, TableModel, paginate

app = FastAPI()
neonkit.install(app)  # settings from the environment; connects nothing before lifespan


class NoteCreate(InputModel):  # validates, and refuses unknown fields
    title: str = Field(min_length=1, max_length=200)


class Note(TableModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(unique=True, max_length=200)


class NoteRead(SQLModel):
    id: int
    title: str


@app.post("/notes", response_model=NoteRead, status_code=201)
async def create_note(body: NoteCreate, session: SessionDep) -> Note:
    note = Note.model_validate(body)
    session.add(note)
    await session.commit()  # INSERT … RETURNING; no refresh
    return note  # the same title again: 409 duplicate, field `title`


@app.get("/notes", response_model=Page[NoteRead])
async def list_notes(session: ReadSessionDep, page: PageDep) -> Page[Note]:
    return await paginate(session, select(Note), page, sort=[col(Note.id)])
