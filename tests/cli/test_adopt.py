"""Tables and histories that others made, and the commands that take them over or work on ours."""

import asyncio
import os
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from cli.conftest import environment, query
from support.guide import GUIDE

if TYPE_CHECKING:
    from cli.conftest import Run

START = """\
import asyncio, app

async def start():
    async with app.app.router.lifespan_context(app.app):
        pass

asyncio.run(start())
"""
THREE_CHANGES = (
    'ALTER TABLE "user" ALTER username TYPE varchar(40), DROP CONSTRAINT user_email_key',
    "ALTER TABLE post ALTER content DROP NOT NULL",
)
BACK = (
    'ALTER TABLE "user" ALTER username TYPE varchar(50), ADD UNIQUE (email)',
    "ALTER TABLE post ALTER content SET NOT NULL",
)
NOTES = """\
from fastapi import FastAPI
from sqlmodel import Field, SQLModel
import neonkit

app = FastAPI()
neonkit.install(app)

class Note(SQLModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(max_length=9)
"""
NOTE = "CREATE TABLE note (id serial PRIMARY KEY, title varchar(9) NOT NULL)"
REVISION = """\
from alembic import op
revision, down_revision = "one", None
def upgrade(): op.execute({0!r})
def downgrade(): op.execute("DROP TABLE note")
"""
ENTRYPOINT = '[tool.fastapi]\nentrypoint = "app:app"\n'
OURS = """
[tool.alembic]
script_location = "neonkit.cli:alembic"
version_locations = ["migrations/versions"]
"""
THEIR_ENV = """\
import os
from alembic import context
from sqlalchemy import create_engine

with create_engine(os.environ["THEIR_URL"]).connect() as connection:
    context.configure(connection=connection)
    with context.begin_transaction():
        context.run_migrations()
"""


def alembic(folder: Path, url: str, *arguments: str) -> tuple[int, str]:
    """Run Alembic's own command line; its exit code, and all that it printed."""
    done = subprocess.run(
        [sys.executable, "-m", "alembic", *arguments],
        cwd=folder,
        env=environment({"NEON_DATABASE_URL": url})
        | {"THEIR_URL": url.replace("postgresql:", "postgresql+psycopg:").partition("?")[0]},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout


def write_app(folder: Path, app: str, revisions: str = "") -> None:
    """Write a project whose app is `app:app`, and maybe a revision that makes its table."""
    (folder / "app.py").write_text(app)
    (folder / "pyproject.toml").write_text(ENTRYPOINT)
    if revisions:
        versions = folder / revisions / "versions"
        versions.mkdir(parents=True)
        (versions / "one.py").write_text(REVISION.format(NOTE))


async def test_the_guides_tables_are_adopted(run_neonkit: "Run", tmp_path: Path, url: str) -> None:
    """What `create_all` made is stamped; where it differs each difference is said, none changed."""
    run = partial(asyncio.to_thread, run_neonkit, env={"NEON_DATABASE_URL": url})
    write_app(tmp_path, GUIDE)
    plain = {**os.environ, "NEON_DATABASE_URL": url.partition("?")[0]}
    start = [sys.executable, "-c", START]
    await asyncio.to_thread(subprocess.run, start, cwd=tmp_path, env=plain, check=True)
    somebody = "'a', 'a@b.com', 'password', 'ADMIN', true, now()"
    columns = "username, email, hashed_password, role, is_active, created_at"
    await query(url, f'INSERT INTO "user" ({columns}) VALUES ({somebody})')
    write_app(tmp_path, f"{GUIDE}\nimport neonkit\nneonkit.install(app)\n")
    for statement in THREE_CHANGES:
        await query(url, statement)

    differs = await run("adopt")
    for statement in BACK:
        await query(url, statement)
    adopted = await run("adopt")
    migrated = await run("migrate")

    assert differs.code == 1
    words, _, statements = differs.output.partition("\n\n")
    assert words.splitlines() == [
        '"user".username becomes varchar(50) (it was varchar(40)).',
        '"user" gets the unique user_email_key: UNIQUE (email).',
        "post.content must not be NULL.",
    ]
    assert statements.startswith('ALTER TABLE "user" ALTER COLUMN username TYPE varchar(50);\n')
    assert differs.error.startswith("neonkit: the database is not what the models say. Make it so")
    (file,) = (tmp_path / "migrations" / "versions").glob("*.py")
    name = file.stem.rpartition("_")[2]
    assert (adopted.code, adopted.error) == (0, "")
    assert adopted.output == f"wrote {file}\nthe database counts as being at {name}\n"
    assert migrated.output == "the database is at head\n"
    assert await query(url, 'SELECT username, role::text FROM "user"') == [("a", "ADMIN")]


async def test_a_history_of_alembics_is_carried_over(
    run_neonkit: "Run", tmp_path: Path, url: str
) -> None:
    """`adopt` names the way; afterwards both command lines work on the same revisions."""
    run = partial(asyncio.to_thread, run_neonkit, env={"NEON_DATABASE_URL": url})
    write_app(tmp_path, NOTES, "theirs")
    (tmp_path / "theirs" / "env.py").write_text(THEIR_ENV)
    (tmp_path / "alembic.ini").write_text("[alembic]\nscript_location = %(here)s/theirs\n")
    assert alembic(tmp_path, url, "upgrade", "head") == (0, "")

    refused = await run("adopt")
    carried = await run("adopt", "--carry-over")
    checked = await run("makemigrations", "--check")

    assert (refused.code, refused.output) == (1, "")
    assert "let `neonkit adopt --carry-over` take them over" in refused.error
    assert carried.output == (
        f"copied {tmp_path / 'theirs'} to {tmp_path / 'migrations'}; "
        "the old folder is yours to delete\n"
    )
    assert (checked.code, checked.output) == (0, "models and migrations say the same\n")
    assert alembic(tmp_path, url, "current") == (0, "one (head)\n")


async def test_alembics_own_command_line_works_on_ours(
    run_neonkit: "Run", tmp_path: Path, url: str
) -> None:
    """Up, down, where it is and whether it is all, by three lines of configuration, no `env.py`."""
    write_app(tmp_path, NOTES, "migrations")
    (tmp_path / "pyproject.toml").write_text(ENTRYPOINT + OURS)

    assert alembic(tmp_path, url, "upgrade", "head") == (0, "")
    assert alembic(tmp_path, url, "current") == (0, "one (head)\n")
    assert alembic(tmp_path, url, "history") == (0, "<base> -> one (head), \n")
    assert alembic(tmp_path, url, "check") == (0, "No new upgrade operations detected.\n")
    done = await asyncio.to_thread(run_neonkit, "migrate", env={"NEON_DATABASE_URL": url})
    assert (done.code, done.output) == (0, "the database is at head\n")

    (tmp_path / "app.py").write_text(f"{NOTES}    stars: int = 0\n")
    code, said = alembic(tmp_path, url, "revision", "--autogenerate", "-m", "stars")
    assert code != 0
    assert "`neonkit makemigrations` writes the revision" in said
    assert "Traceback" not in said
    assert alembic(tmp_path, url, "downgrade", "base") == (0, "")
    assert await query(url, "SELECT to_regclass('note')") == [(None,)]
