"""A user's project in a folder of its own, and pytest running in it."""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

PYPROJECT = """\
[tool.fastapi]
entrypoint = "notes:app"
"""

STRICT = """
[tool.pytest.ini_options]
filterwarnings = ["error"]
"""

NOTES = """\
from fastapi import FastAPI
from sqlmodel import Field, SQLModel, col, select

import neonkit
from neonkit import InputModel, Page, PageDep, ReadSessionDep, SessionDep, TableModel, paginate

app = FastAPI()
neonkit.install(app)          # settings from the environment; connects nothing before lifespan


class NoteCreate(InputModel):             # validates, and refuses unknown fields
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
    await session.commit()    # one round trip: INSERT … RETURNING, on its own; no refresh
    return note               # the same title again: 409 duplicate, field `title`


@app.get("/notes", response_model=Page[NoteRead])
async def list_notes(session: ReadSessionDep, page: PageDep) -> Page[Note]:
    return await paginate(session, select(Note), page, sort=[col(Note.id)])
"""


@dataclass(frozen=True)
class Run:
    """What pytest said.

    Attributes:
        code: its exit code.
        text: its output.
    """

    code: int
    text: str

    @property
    def outcomes(self) -> dict[str, str]:
        """The outcome of each test, such as `PASSED`, by name."""
        found = re.findall(r"^([A-Z]+) test_\w+\.py::(\S+)", self.text, re.MULTILINE)
        return {name: outcome for outcome, name in found}

    def must_pass(self, *names: str) -> None:
        """Fail, with the output, unless all tests passed, and those named are among them."""
        assert self.code == 0, self.text
        assert set(names) <= {
            name for name, outcome in self.outcomes.items() if outcome == "PASSED"
        }


@dataclass(frozen=True)
class Project:
    """A user's folder."""

    folder: Path

    def write(self, **modules: str) -> None:
        """Write Python files."""
        for name, text in modules.items():
            (self.folder / f"{name}.py").write_text(text)

    def test(self, *arguments: str, **variables: str) -> Run:
        """Run its tests as a user does, without what our own environment says."""
        ours = ("NEON", "DATABASE_URL", "PYTEST", "ENVIRONMENT", "COV_")
        environment = {k: v for k, v in os.environ.items() if not k.startswith(ours)}
        done = subprocess.run(
            [sys.executable, "-P", "-m", "pytest", "-rA", "-p", "no:cacheprovider", *arguments],
            cwd=self.folder,
            env={**environment, **variables},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=120,
            check=False,
        )
        return Run(done.returncode, done.stdout)
