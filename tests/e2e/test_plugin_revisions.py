"""The pytest plugin in a project with revisions: tests meet what production has."""

from pathlib import Path

import pytest

from support.projects import NOTES, PYPROJECT, Project

REVISION = """\
from pathlib import Path

from alembic import op

revision, down_revision = {name!r}, {after!r}


def upgrade() -> None:
    if not op.get_context().as_sql:
        with Path("runs.txt").open("a") as file:
            print(revision, file=file)
    op.execute({statement!r})


def downgrade() -> None: ...
"""
TABLE = """\
CREATE TABLE note (id serial, title varchar(200) NOT NULL, CONSTRAINT pk_note PRIMARY KEY (id),
CONSTRAINT uq_note_title UNIQUE (title))"""
ROW = "INSERT INTO note (title) VALUES ('what every release has')"

TEST_NOTES = """\
from sqlalchemy import text
from sqlmodel import Field, select

from neonkit import TableModel
from notes import Note


class OfTest(TableModel, table=True):
    id: int | None = Field(default=None, primary_key=True)


async def test_rows(session):
    assert (await session.exec(select(Note.title))).all() == ["what every release has"]


async def test_own_table(session):
    session.add(OfTest())
    await session.commit()


async def test_agree(revisions):
    await revisions.agree()


async def test_altered(session, revisions):
    await session.exec(text("ALTER TABLE note ALTER title DROP NOT NULL"))
    await session.commit()
    await revisions.agree()
"""
STARS = "    title: str = Field(unique=True, max_length=200)\n    stars: int = 0\n"


def write_revision(project: Project, name: str, after: str | None, statement: str) -> None:
    """Put a revision into the project's history; it notes in a file that it was run."""
    folder = project.folder / "migrations" / "versions"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(REVISION.format(name=name, after=after, statement=statement))


def test_databases_are_made_by_the_revisions(project: Project) -> None:
    """Once, kept while their files are the same; what models say beyond is added, and said once."""
    runs = project.folder / "runs.txt"
    (project.folder / "pyproject.toml").write_text(PYPROJECT)
    write_revision(project, "one", None, TABLE)
    write_revision(project, "two", "one", ROW)
    project.write(test_notes=TEST_NOTES)

    run = project.test()
    assert run.outcomes == {
        "test_rows": "PASSED",
        "test_own_table": "PASSED",
        "test_agree": "PASSED",
        "test_altered": "FAILED",
    }
    assert "the test's database is not what the models say\n\nnote.title must not be NULL." in (
        run.text
    )
    assert "the models say more" not in run.text

    model = "    title: str = Field(unique=True, max_length=200)\n"
    project.write(notes=NOTES.replace(model, STARS))
    run = project.test("-k", "not altered")
    assert run.outcomes == {
        "test_rows": "PASSED",
        "test_own_table": "PASSED",
        "test_agree": "FAILED",
    }
    assert run.text.count("UserWarning: the models say more than the migrations in") == 1
    assert "ALTER TABLE note ADD COLUMN stars integer DEFAULT 0 NOT NULL;" in run.text
    assert "oftest" not in run.text
    assert runs.read_text().split() == ["one", "two"]

    write_revision(project, "three", "two", "ALTER TABLE note ADD stars integer NOT NULL DEFAULT 0")
    write_revision(project, "four", "three", "ALTER TABLE note ALTER stars DROP DEFAULT")
    run = project.test("-k", "agree")
    run.must_pass("test_agree")
    assert runs.read_text().split() == ["one", "two", "one", "two", "three", "four"]


@pytest.mark.parametrize(
    ("alembic", "said"),
    [("", "`neonkit makemigrations` writes the first"), ("x", "neonkit adopt --carry-over")],
)
def test_without_revisions_of_ours_there_is_nothing_to_agree(
    project: Project, alembic: str, said: str
) -> None:
    """The databases are made from the models; the fixture `revisions` says why it cannot judge."""
    if alembic:
        ini = "[alembic]\nscript_location = theirs\n"
        Path(project.folder / "alembic.ini").write_text(ini)
    project.write(
        test_agree="""\
async def test_agree(revisions, session):
    await revisions.agree()
"""
    )

    run = project.test()

    assert run.outcomes == {"test_agree": "FAILED"}
    assert said in run.text
