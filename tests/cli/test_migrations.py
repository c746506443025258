"""`neonkit migrate` and `neonkit makemigrations`, as processes, on real databases."""

import asyncio
import json
import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import asyncpg
import pytest

if TYPE_CHECKING:
    from cli.conftest import Launch, Run

from cli.conftest import SECRET_KEY, environment, query

MODELS = """
from decimal import Decimal
from enum import StrEnum
from fastapi import FastAPI
from sqlalchemy import Index, Numeric, func
from sqlalchemy.dialects.postgresql import JSONB
from sqlmodel import Field, col
import neonkit
from neonkit import TableModel, TimestampMixin
from neonkit.resources import search_index

app = FastAPI()
neonkit.install(app)

class Kind(StrEnum):
    SHORT = "short"
    LONG = "long"

class Note(TimestampMixin, TableModel, table=True):
    __table_args__ = (search_index("title"),)
    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(unique=True, max_length=200)
    kind: Kind = Field(default=Kind.SHORT)
    price: Decimal = Field(default=0, sa_type=Numeric(17, 2))
    data: dict[str, int] = Field(sa_type=JSONB)

Index("ux_lower", func.lower(col(Note.title)), unique=True)
"""
MORE = """
class Comment(TableModel, table=True):
    id: int | None = Field(default=None, primary_key=True)
    note_id: int = Field(foreign_key="note.id")
"""
REVISION = """
from alembic import op
revision, down_revision = {name!r}, {after!r}
def upgrade():
    {body}
def downgrade():
    pass
"""


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose app is `notes:app`."""
    (tmp_path / "notes.py").write_text(MODELS)
    (tmp_path / "pyproject.toml").write_text('[tool.fastapi]\nentrypoint = "notes:app"\n')
    return tmp_path


def write_revision(project: Path, name: str, body: str, after: str | None = None) -> None:
    """Put a revision into the project's history."""
    folder = project / "migrations" / "versions"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{name}.py").write_text(REVISION.format(name=name, after=after, body=body))


def contents(project: Path) -> dict[Path, bytes]:
    """Every file of the project's own, and what is in it."""
    return {
        path: path.read_bytes() for path in project.rglob("*") if path.suffix in {".py", ".ini"}
    }


async def test_models_become_revisions_and_revisions_tables(
    run_neonkit: "Run", project: Path, url: str
) -> None:
    """The first revision makes what `create_all` would; without a change there is no second."""
    env = {"NEON_DATABASE_URL": url}
    made = await asyncio.to_thread(run_neonkit, "makemigrations", "-m", "notes", "--json", env=env)
    assert made.code == 0, made.error
    file = Path(json.loads(made.output)["file"])
    assert file.parent == project / "migrations" / "versions"

    again = await asyncio.to_thread(run_neonkit, "makemigrations", env=env)
    migrated = await asyncio.to_thread(run_neonkit, "migrate", env=env)
    at_head = await asyncio.to_thread(run_neonkit, "migrate", env=env)
    assert (again.code, again.output) == (0, "the models say nothing new\n")
    assert (migrated.code, migrated.output.split()[0]) == (0, "applied")
    assert (at_head.code, at_head.output) == (0, "the database is at head\n")
    constraints = await query(url, "SELECT conname FROM pg_constraint WHERE contype = 'c'")
    assert ("ck_note_kind",) in constraints

    (project / "notes.py").write_text(MODELS + MORE)
    more = await asyncio.to_thread(run_neonkit, "makemigrations", env=env)
    assert (more.code, more.output.split()[0]) == (0, "wrote")
    done = await asyncio.to_thread(run_neonkit, "migrate", "--json", env=env)
    assert len(json.loads(done.output)["applied"]) == 1


async def test_four_processes_migrate_at_once(project: Path, url: str) -> None:
    """On an empty database all of them succeed, and each revision is applied by one."""
    for number in range(3):
        body = f'op.execute("CREATE TABLE t{number} AS SELECT pg_sleep(0.2)::text")'
        write_revision(project, f"r{number}", body, f"r{number - 1}" if number else None)
    processes = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "neonkit", "migrate", "--json",
            cwd=project,
            env=environment({"NEON_DATABASE_URL": url}),
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for _ in range(4)
    ]  # fmt: skip
    outputs = await asyncio.gather(*[process.communicate() for process in processes])

    assert [process.returncode for process in processes] == [0] * 4, outputs
    applied = [name for output, _ in outputs for name in json.loads(output)["applied"]]
    assert sorted(applied) == ["r0", "r1", "r2"]


async def test_a_history_of_alembics_own_is_left_alone(
    run_neonkit: "Run", project: Path, url: str
) -> None:
    """Where alembic.ini names another folder, neither files nor database change."""
    (project / "alembic.ini").write_text("[alembic]\nscript_location = theirs\n")
    write_revision(project, "ours", 'op.execute("CREATE TABLE made_by_us (id int)")')
    await query(url, "CREATE TABLE alembic_version (version_num text)")
    await query(url, "INSERT INTO alembic_version VALUES ('theirs')")
    files = contents(project)

    done = await asyncio.to_thread(run_neonkit, "migrate", env={"NEON_DATABASE_URL": url})
    made = await asyncio.to_thread(run_neonkit, "makemigrations", env={"NEON_DATABASE_URL": url})

    assert done.code == 0
    assert done.output.startswith("left alone: alembic.ini")
    assert (made.code, made.error.count("\n")) == (1, 1)
    assert await query(url, "SELECT * FROM alembic_version") == [("theirs",)]
    assert await query(url, "SELECT to_regclass('made_by_us')") == [(None,)]
    assert contents(project) == files


@pytest.mark.parametrize(
    ("alembic", "said"),
    [
        ("", "neonkit: there are no migrations in {folder}: `neonkit makemigrations` writes the"),
        ("[alembic]\nscript_location = theirs\n", "neonkit: left alone: alembic.ini says that"),
    ],
)
async def test_what_is_not_there_or_not_ours_is_not_judged(
    run_neonkit: "Run", project: Path, url: str, alembic: str, said: str
) -> None:
    """Without revisions of ours no command says that all is well; each says why, and what to do."""
    if alembic:
        (project / "alembic.ini").write_text(alembic)
    run = partial(asyncio.to_thread, run_neonkit, env={"NEON_DATABASE_URL": url})
    commands = [
        ("migrate", "--lint"),
        ("migrate", "--rehearse"),
        ("migrate", "--sql"),
        ("history",),
    ]

    done = await asyncio.gather(*[run(*command) for command in commands])

    for each in done:
        assert (each.code, each.output) == (1, "")
        assert each.error.startswith(said.format(folder=project / "migrations"))


async def test_at_head_nothing_is_locked(run_neonkit: "Run", project: Path, url: str) -> None:
    """A replica that has nothing to do does not wait for one that migrates."""
    write_revision(project, "only", 'op.execute("CREATE TABLE t (id int)")')
    env = {"NEON_DATABASE_URL": url}
    first = await asyncio.to_thread(run_neonkit, "migrate", env=env)
    assert first.code == 0, first.error
    holder = await asyncpg.connect(url)
    await holder.execute("SELECT pg_advisory_lock(x'6E656F6E6D696772'::bigint)")

    done = await asyncio.to_thread(run_neonkit, "migrate", env=env)

    await holder.close()
    assert (done.code, done.output) == (0, "the database is at head\n")


async def test_a_failing_revision_is_named_and_leaves_nothing(
    run_neonkit: "Run", project: Path, url: str
) -> None:
    """What it did is undone, those before it stay, and one line says which failed and why."""
    write_revision(project, "good", 'op.execute("CREATE TABLE kept (id int)")')
    body = 'op.execute("CREATE TABLE undone (id int)"); op.execute("SELECT 1 / 0")'
    write_revision(project, "bad", body, "good")

    done = await asyncio.to_thread(run_neonkit, "migrate", env={"NEON_DATABASE_URL": url})

    assert done.code == 1
    assert done.error == "neonkit: migration bad failed: division by zero\n"
    tables = await query(url, "SELECT to_regclass('kept')::text, to_regclass('undone')::text")
    assert tables == [("kept", None)]
    assert await query(url, "SELECT * FROM alembic_version") == [("good",)]


async def test_an_index_can_be_built_concurrently_while_others_wait(
    project: Path, url: str
) -> None:
    """Waiting for the lock holds no snapshot that CREATE INDEX CONCURRENTLY would wait for."""
    write_revision(project, "table", 'op.execute("CREATE TABLE t AS SELECT 1 AS id")')
    body = (
        'op.execute("SELECT pg_sleep(0.5)")\n'
        "    with op.get_context().autocommit_block():\n"
        '        op.execute("CREATE INDEX CONCURRENTLY t_id ON t (id)")'
    )
    write_revision(project, "built", body, "table")
    commands = [
        await asyncio.create_subprocess_exec(
            sys.executable, "-m", "neonkit", "migrate",
            cwd=project,
            env=environment({"NEON_DATABASE_URL": url}),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        for _ in range(2)
    ]  # fmt: skip
    outputs = await asyncio.gather(*[command.communicate() for command in commands])

    assert [command.returncode for command in commands] == [0, 0], outputs
    assert await query(url, "SELECT indisvalid FROM pg_index WHERE indrelid = 't'::regclass") == [
        (True,)
    ]


async def test_what_the_release_does_not_know_is_said(
    run_neonkit: "Run", project: Path, url: str
) -> None:
    """A newer database, two newest revisions, and a database that is away: one line each."""
    write_revision(project, "one", "pass")
    env = {"NEON_DATABASE_URL": url}
    await query(url, "CREATE TABLE alembic_version (version_num varchar(32) PRIMARY KEY)")
    await query(url, "INSERT INTO alembic_version VALUES ('later')")
    newer = await asyncio.to_thread(run_neonkit, "migrate", env=env)
    assert newer.code == 1
    assert "the database is at migration later, which this release does not have" in newer.error

    write_revision(project, "two", "pass")
    forked = await asyncio.to_thread(run_neonkit, "migrate", env=env)
    assert forked.code == 2
    assert "one and two are both the newest migration" in forked.error

    (project / "migrations" / "versions" / "two.py").unlink()
    secret = "postgresql://ada:s3cret-of-ada@127.0.0.1:9/none?sslmode=disable"
    env = {"NEON_DATABASE_URL": secret, "CONNECT_TIMEOUT": "1", "REQUEST_TIMEOUT": "6"}
    away = await asyncio.to_thread(run_neonkit, "migrate", env=env)
    assert (away.code, away.error.count("\n")) == (1, 1)
    assert "127.0.0.1 cannot be migrated" in away.error
    assert "s3cret" not in away.error


async def test_production_waits_for_its_migrations(
    launch: "Launch", run_neonkit: "Run", tmp_path: Path, production: dict[str, str], url: str
) -> None:
    """Before `neonkit migrate`, startup and readiness are 503, and the log names the command."""
    env = {**production, "NEON_DATABASE_URL": url, "PORT": "0"}
    await asyncio.to_thread(run_neonkit, "migrate", "notes:app", env=env)
    write_revision(tmp_path, "first", 'op.execute("CREATE TABLE t (id int)")')
    service = launch("serve", "notes:app", env=env)
    service.wait_for("lacks migrations of this release: run `neonkit migrate`")
    assert service.get("/health/startup").status == 503
    ready = service.get("/health/ready")
    assert ready.status == 503
    assert ready.json() == {
        "status": "not_ready",
        "checks": {"database": "ok", "migrations": "failed"},
    }


async def test_development_migrates_by_itself(launch: "Launch", tmp_path: Path, url: str) -> None:
    """Where there is a history, `dev` applies it, and does not call `create_all`."""
    (tmp_path / "migrations" / "versions").mkdir(parents=True)
    write_revision(tmp_path, "first", 'op.execute("CREATE TABLE by_revision (id int)")')
    service = launch("dev", "notes:app", env={"NEON_DATABASE_URL": url, "PORT": "0"})
    service.wait_until(lambda: service.get("/health/startup").status == 200)

    tables = await query(url, "SELECT to_regclass('by_revision')::text, to_regclass('note')")
    assert tables == [("by_revision", None)]


FOLLOWED = """
from sqlmodel import Field
class Note(neonkit.TableModel, table=True):
    __tablename__ = "followed"
    id: int | None = Field(default=None, primary_key=True)
    title: str = "a"
"""


async def test_development_follows_models(
    launch: "Launch", run_neonkit: "Run", tmp_path: Path, url: str
) -> None:
    """What adds is made and printed as SQL; what goes is named and stays; then revisions lack."""
    app, env = tmp_path / "notes.py", {"NEON_DATABASE_URL": url}
    plain = app.read_text()
    app.write_text(plain + FOLLOWED)
    service = launch("dev", "notes:app", env=env)
    service.wait_for(r"made: CREATE TABLE followed .*title varchar NOT NULL")
    service.wait_for("serving on")
    app.write_text(plain + FOLLOWED + "    body: str | None = None\n")
    service.wait_for("made: ALTER TABLE followed ADD COLUMN body varchar;")
    service.wait_for("serving on", count=2)
    app.write_text(plain + FOLLOWED.replace("title", "heading"))
    service.wait_for("not done: followed loses body")
    service.wait_for("Two ways on: as revisions, with `neonkit adopt --as-it-is`")

    service.wait_for("serving on", count=3)
    adopted = await asyncio.to_thread(run_neonkit, "adopt", "notes:app", "--as-it-is", env=env)
    assert "`neonkit makemigrations` writes these as the next revision" in adopted.output
    service.wait_for("the models say more than the migrations: `neonkit makemigrations`")


async def test_production_refuses_what_would_hurt(
    run_neonkit: "Run", project: Path, url: str
) -> None:
    """`--lint` names it, a rehearsal shows it, and production runs it only for a reason."""
    write_revision(project, "old", 'op.execute("CREATE TABLE t AS SELECT 1 AS a, 2 AS b")')
    env = {"NEON_DATABASE_URL": url, "SECRET_KEY": SECRET_KEY, "ENVIRONMENT": "production"}
    assert (await asyncio.to_thread(run_neonkit, "migrate", env=env)).code == 0
    write_revision(project, "new", 'op.execute("ALTER TABLE t DROP b")', "old")

    linted = await asyncio.to_thread(run_neonkit, "migrate", "--lint", "--json", env=env)
    rehearsed = await asyncio.to_thread(run_neonkit, "migrate", "--rehearse", "--json", env=env)
    refused = await asyncio.to_thread(run_neonkit, "migrate", env=env)
    assert (linted.code, refused.code, rehearsed.code) == (1, 1, 0), rehearsed.error
    (finding,) = json.loads(linted.output)["findings"]
    assert (finding["rule"], finding["reason"]) == ("drop-column", None)
    assert json.loads(rehearsed.output)["statements"][0]["statement"] == "ALTER TABLE t DROP b"
    assert "ALTER TABLE t DROP b" in refused.error
    assert len(await query(url, "SELECT b FROM t")) == 1

    file = project / "migrations" / "versions" / "new.py"
    file.write_text(f"{file.read_text()}\nallow = {{'drop-column': 'nobody reads it'}}")
    assert (await asyncio.to_thread(run_neonkit, "migrate", env=env)).code == 0
