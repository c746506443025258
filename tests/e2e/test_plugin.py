"""The pytest plugin, in projects of users: each test runs pytest in a folder of its own."""

import asyncio
import re
import time
from pathlib import Path

import pytest

from neonkit import Database, create_engine
from neonkit.local import LocalServer
from support.projects import PYPROJECT, STRICT, Project

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to" / "test-your-app.md"

TEST_NOTES = """\
async def test_a_title_is_taken_once(client):
    assert (await client.post("/notes", json={"title": "a"})).status_code == 201
    assert (await client.post("/notes", json={"title": "a"})).status_code == 409
    assert len((await client.get("/notes")).json()["items"]) == 1
"""


def test_the_tutorial_works_as_written(project: Project) -> None:
    """The first evening's test passes with one line of configuration; no server is left."""
    (project.folder / "pyproject.toml").write_text(PYPROJECT)
    project.write(test_notes=TEST_NOTES)

    project.test().must_pass("test_a_title_is_taken_once")

    assert _is_gone(project.folder / ".neonkit" / "test" / "data" / "postmaster.pid")


def test_the_how_to_works_as_written(project: Project) -> None:
    """Every test of the page passes; the fixture that it shows, in a folder of its own."""
    blocks = re.findall(r"```python\n# (\w+)\.py\n(.*?)```", HOW_TO.read_text("utf-8"), re.DOTALL)
    modules = dict(blocks)
    (project.folder / "own").mkdir()
    own = Project(project.folder / "own")
    test_own = "async def test_own(client): assert (await client.get('/notes')).is_error"
    own.write(conftest=modules.pop("conftest"), test_own=test_own)
    project.write(**modules)

    project.test().must_pass(
        "test_notes_are_stored", "test_over_tcp", "test_an_open_route_is_found"
    )


def _is_gone(file: Path) -> bool:
    for _ in range(500):
        if not file.exists():
            return True
        time.sleep(0.01)
    return False


def test_nothing_is_imported_before_it_is_needed(project: Project) -> None:
    """A run that asks for no fixture of ours pays for none of what they need."""
    project.write(
        test_imports="""\
import sys

def test_light():
    heavy = {"asyncpg", "fastapi", "httpx2", "pydantic", "sqlalchemy", "sqlmodel", "uvicorn"}
    assert not heavy & set(sys.modules)
"""
    )

    project.test().must_pass("test_light")


def test_without_an_entry_point_the_lines_to_add_are_said(project: Project) -> None:
    """No app is guessed: the test fails with the file and the lines that name one."""
    (project.folder / "pyproject.toml").write_text(STRICT)
    project.write(test_notes=TEST_NOTES)

    run = project.test()

    assert run.outcomes == {"test_a_title_is_taken_once": "ERROR"}
    assert f"{project.folder / 'pyproject.toml'}" in run.text
    assert '[tool.fastapi]\n    entrypoint = "main:app"' in run.text
    assert "Traceback" not in run.text


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("notes:ap", "has no 'ap'; did you mean notes:app?"),
        ("notes:Note.metadata", "not an ASGI app"),
        ("notes:Note", "not a FastAPI app"),
        ("notes", "write it as module:attribute, such as notes:app"),
        ("no:te:s", "it is no name of an app"),
        ("nowhere:app", "there is no module 'nowhere'"),
    ],
)
def test_a_wrong_entry_point_is_named(project: Project, name: str, why: str) -> None:
    """An entry point that is no FastAPI app is refused with what stands there instead."""
    (project.folder / "pyproject.toml").write_text(f'[tool.fastapi]\nentrypoint = "{name}"\n')
    project.write(test_app="def test_app(app): ...")

    run = project.test()

    assert run.outcomes == {"test_app": "ERROR"}
    assert why in run.text
    assert "pyproject.toml" in run.text
    assert "Traceback" not in run.text


@pytest.mark.parametrize(
    "backend",
    [
        'def anyio_backend(): return "asyncio"',
        'def anyio_backend(): return ("asyncio", {"use_uvloop": False})',
        "def anyio_backend(request): return request.param",
    ],
)
def test_a_backend_of_the_users_own(project: Project, backend: str) -> None:
    """Beside a conftest with `anyio_backend` tests of ours run, once; others run on the user's."""
    of = '(params=["asyncio"])' if "request" in backend else ""
    project.write(
        conftest=f"import pytest\n@pytest.fixture{of}\n{backend}\n",
        test_both="""\
import pytest

@pytest.fixture
async def made(client):
    return (await client.post("/notes", json={"title": "a"})).status_code

@pytest.mark.anyio
async def test_marked(client, made):
    assert made == 201

async def test_unmarked(session, made):
    assert made == 201

@pytest.mark.anyio
async def test_theirs(anyio_backend, request):
    assert "asyncio" in anyio_backend
    assert request.fixturenames.count("anyio_backend") == 1

async def test_nothing_asked():
    pass
""",
    )

    run = project.test()

    run.must_pass("test_marked", "test_unmarked", "test_nothing_asked")
    assert set(run.outcomes.values()) == {"PASSED"}
    assert len(run.outcomes) == 4


def test_a_run_that_is_not_ours_is_left_alone(project: Project) -> None:
    """No variable is set, no async test taken, where no test asks for a fixture of ours."""
    (project.folder / "pyproject.toml").write_text("")
    project.write(
        conftest="""\
import asyncio, inspect, pytest

def pytest_pyfunc_call(pyfuncitem):
    if inspect.iscoroutinefunction(pyfuncitem.obj):
        asyncio.run(pyfuncitem.obj())
        return True
""",
        test_theirs="""\
import asyncio, os, subprocess, sys

def test_environment():
    assert "ENVIRONMENT" not in os.environ
    code = "import os, sys; sys.exit('ENVIRONMENT' in os.environ)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0

async def test_runner():
    assert asyncio.current_task().get_coro().__name__ == "test_runner"
""",
    )

    project.test().must_pass("test_environment", "test_runner")
    project.test("-n", "1").must_pass("test_environment", "test_runner")


def test_a_variable_of_the_users_stays(project: Project) -> None:
    """What the user sets, before the run or in a conftest, is neither changed nor taken back."""
    project.write(
        conftest="import os; os.environ['ENVIRONMENT'] = os.environ.get('WANTED', 'test')",
        test_it="""\
import os

def test_stays():
    assert os.environ["ENVIRONMENT"] == os.environ["WANTED"]
""",
    )

    project.test(WANTED="development").must_pass("test_stays")
    project.write(conftest="")
    project.test(WANTED="mine", ENVIRONMENT="mine").must_pass("test_stays")


def test_testclient_changes_nobody_elses_database(project: Project) -> None:
    """FastAPI's own TestClient, in a run without a fixture of ours, migrates no other machine."""
    (project.folder / "migrations" / "versions").mkdir(parents=True)
    (project.folder / "migrations" / "versions" / "one.py").write_text(
        "revision, down_revision = 'one', None\n"
        "def upgrade(): open('migrated', 'w').close()\ndef downgrade(): pass\n"
    )
    project.write(
        test_stock="""\
import asyncio, os, sys, threading
from pathlib import Path
from neonkit.local import LocalServer

server = asyncio.run(LocalServer.start(Path("anybodys"), is_durable=False))
os.environ["NEON_DATABASE_URL"] = server.url.replace("127.0.0.1", "127.1")

from fastapi.testclient import TestClient
from notes import app

def test_nothing_is_made():
    with TestClient(app, raise_server_exceptions=False) as client:
        for _ in range(5):
            assert client.post("/notes", json={"title": "a"}).status_code == 500
    assert not os.path.exists("migrated")
"""
    )

    project.test().must_pass("test_nothing_is_made")


def test_fixtures_of_the_user_win(project: Project) -> None:
    """The project's own `app` and `session` take the place of ours, and ours build on them."""
    project.write(
        conftest="""\
import neonkit, pytest
from fastapi import FastAPI

pytest_plugins = ["plugin"]

@pytest.fixture(scope="session")
def app():
    app = FastAPI()
    neonkit.install(app)
    app.add_api_route("/mine", lambda: "mine")
    return app
""",
        plugin="""\
import pytest

@pytest.fixture
def session():
    return "mine"
""",
        test_mine="""\
from urllib.request import urlopen

async def test_app(client):
    assert (await client.get("/mine")).json() == "mine"

def test_live(live_server):
    with urlopen(live_server.url + "/mine") as answer:
        assert answer.read() == b'"mine"'

def test_session(session):
    assert session == "mine"
""",
    )

    project.test().must_pass("test_app", "test_live", "test_session")


TURNS = """\
import pytest
from sqlmodel import select
from notes import Note

@pytest.mark.parametrize("turn", [1, 2])
async def test_committed(turn, db, client):
    async with db.session() as session:
        session.add(Note(title="a"))
        await session.commit()
    assert (await client.post("/notes", json={"title": "a"})).status_code == 409
    assert (await client.post("/notes", json={"title": "b"})).status_code == 201
    titles = [item["title"] for item in (await client.get("/notes")).json()["items"]]
    assert titles == ["a", "b"]

async def test_uncommitted(session):
    session.add(Note(title="c"))
    await session.flush()

async def test_left_broken(session):
    session.add_all([Note(title="c"), Note(title="c")])
    with pytest.raises(Exception, match="duplicate"):
        await session.commit()

async def test_left_open(db):
    test_left_open.session = db.session()
    session = await test_left_open.session.__aenter__()
    session.add(Note(title="c"))
    await session.flush()

async def test_empty(session, client):
    assert (await session.exec(select(Note))).all() == []
    assert (await client.get("/notes")).json()["items"] == []
"""


def test_each_test_starts_clean(project: Project) -> None:
    """What a test committed, forgot to commit, broke or left open is unknown to the next."""
    project.write(test_turns=TURNS)

    project.test().must_pass(
        "test_committed[1]", "test_committed[2]", "test_uncommitted", "test_empty"
    )


REAL = """\
import asyncio, subprocess, sys
import pytest
from sqlmodel import select, text
from notes import Note

clones = set()

async def one(session, query):
    return (await session.exec(text(query))).scalar()

def test_sync(live_server):
    script = f"from urllib.request import urlopen; urlopen('{live_server.url}/notes')"
    subprocess.run([sys.executable, "-c", script], check=True)

async def test_over_tcp(live_server, client, db):
    assert str(client.base_url) == live_server.url
    posts = [client.post("/notes", json={"title": str(n)}) for n in range(10)]
    assert {answer.status_code for answer in await asyncio.gather(*posts)} == {201}
    async with db.read_session() as session:
        assert len((await session.exec(select(Note))).all()) == 10
        clones.add(await one(session, "SELECT current_database()"))

@pytest.mark.real_commits
async def test_in_process(client, db, session):
    posts = [client.post("/notes", json={"title": str(n)}) for n in range(10)]
    assert {answer.status_code for answer in await asyncio.gather(*posts)} == {201}
    async with db.read_session() as other:
        assert len((await other.exec(select(Note))).all()) == 10
        clones.add(await one(other, "SELECT current_database()"))

async def test_afterwards(session):
    assert (await session.exec(select(Note))).all() == []
    names = await one(session, "SELECT array_agg(datname::text) FROM pg_database")
    assert len(clones) == 2 and clones.isdisjoint(names)

def test_too_late(db, request):
    request.getfixturevalue("live_server")
"""


def test_real_commits(project: Project) -> None:
    """`live_server` and `real_commits` give a test a clone, which is dropped after it."""
    project.write(test_real=REAL)

    run = project.test()

    failed = {name for name, outcome in run.outcomes.items() if outcome != "PASSED"}
    assert failed == {"test_too_late"}, run.text
    assert "mark the test `real_commits`" in run.text


LIFE = """\
import asyncio, os
from contextlib import asynccontextmanager
from contextvars import ContextVar

import neonkit, pytest
from fastapi import FastAPI, Request
from neonkit import SessionDep
from neonkit.testing import LiveServer
from notes import Note

inside = ContextVar("inside", default="outside")

@asynccontextmanager
async def lifespan(app):
    token = inside.set("inside")
    if fail:
        raise RuntimeError("no start")
    async with asyncio.TaskGroup() as group:
        task = group.create_task(asyncio.sleep(60))
        yield {"word": "hello"}
        task.cancel()
    inside.reset(token)

fail = False
mine = FastAPI(lifespan=lifespan)
neonkit.install(mine)

@mine.get("/state")
async def state(request: Request) -> str:
    return request.state.word + " " + inside.get()

@mine.get("/forgets")
async def forgets(session: SessionDep) -> None:
    session.add(Note(title="a"))

@mine.get("/breaks")
async def breaks() -> None:
    raise RuntimeError

@pytest.fixture
def app():
    return mine

def test_environment():
    assert os.environ["ENVIRONMENT"] == "test"

async def test_lifespan(client):
    assert (await client.get("/state")).json() == "hello outside"
    assert inside.get() == "outside"

async def test_live(live_server: LiveServer, client):
    assert (await client.get("/state")).json() == "hello outside"

async def test_server_errors(client):
    for path in ("/forgets", "/breaks"):
        answer = await client.get(path)
        assert (answer.status_code, answer.json()["title"]) == (500, "Internal")

async def test_fails(client):
    assert mine.state.neonkit.database is not None
    raise AssertionError

@pytest.fixture
def broken():
    global fail
    fail = True
    yield
    fail = False

def test_never_starts(broken, client):
    pass

def test_never_serves(broken, live_server):
    pass

def test_restored(app, db):
    assert mine.state.neonkit.database is None
"""


def test_the_app_lives_as_under_a_server(project: Project) -> None:
    """Lifespan, its state and its task; a 500 for what breaks; and all restored afterwards."""
    project.write(test_life=LIFE)

    run = project.test()

    outcomes = run.outcomes
    assert {name: outcomes.pop(name) for name in ("test_never_starts", "test_never_serves")} == {
        "test_never_starts": "ERROR",
        "test_never_serves": "ERROR",
    }
    assert run.text.count("RuntimeError: no start") >= 2
    assert outcomes.pop("test_fails") == "FAILED"
    assert outcomes.pop("test_restored") == "PASSED"
    assert set(outcomes.values()) == {"PASSED"}, run.text


def test_tables_declared_later_are_there(project: Project) -> None:
    """A model that is declared after the databases were made has its table all the same."""
    project.write(
        test_late="""\
import pytest
from neonkit import TableModel
from sqlmodel import Field, select

@pytest.fixture(scope="session")
def late():
    class Late(TableModel, table=True):
        id: int | None = Field(default=None, primary_key=True)
    return Late

async def test_first(session):
    pass

async def test_late(late, session):
    assert (await session.exec(select(late))).all() == []

@pytest.mark.real_commits
async def test_late_clone(late, session):
    assert (await session.exec(select(late))).all() == []
"""
    )

    project.test().must_pass("test_first", "test_late", "test_late_clone")


def test_workers_share_one_server(project: Project) -> None:
    """Under xdist, workers have databases of their own and do not see each other's rows."""
    project.write(
        test_many="""\
import pytest
from notes import Note

@pytest.mark.parametrize("n", range(20))
async def test_commit(n, session, client):
    session.add(Note(title="a"))
    await session.commit()
    assert len((await client.get("/notes")).json()["items"]) == 1

@pytest.mark.parametrize("n", range(4))
async def test_live(n, client, live_server):
    assert (await client.post("/notes", json={"title": "a"})).status_code == 201
"""
    )

    run = project.test("-n", "2")

    run.must_pass(*(f"test_commit[{n}]" for n in range(20)), *(f"test_live[{n}]" for n in range(4)))


def test_the_apps_own_url_is_never_used(project: Project) -> None:
    """Whatever database the environment names for the app, no test connects to it."""
    project.write(test_notes=TEST_NOTES)

    run = project.test(
        NEON_DATABASE_URL="postgresql://someone:secret@127.0.0.1:1/production",
        DATABASE_URL="postgresql://someone:secret@127.0.0.1:1/production",
    )

    run.must_pass("test_a_title_is_taken_once")


async def test_a_server_given_for_tests(project: Project, tmp_path: Path) -> None:
    """`NEONKIT_TEST_URL` names the server; whatever tests made there is dropped in the end.

    So is what a killed run left, but not what a running one uses.
    """
    project.write(test_notes=TEST_NOTES)
    async with (
        await LocalServer.start(tmp_path / "server", is_durable=False) as server,
        Database(create_engine(server.url, application_name="neonkit_test_aaaaaaaa")) as running,
    ):
        engine = running.engine.execution_options(isolation_level="AUTOCOMMIT")
        async with engine.connect() as connection:
            for name in ("neonkit_test_aaaaaaaa_1", "neonkit_test_bbbbbbbb_1"):
                await connection.exec_driver_sql(f"CREATE DATABASE {name}")

            run = await asyncio.to_thread(project.test, NEONKIT_TEST_URL=server.url)

            query = "SELECT datname FROM pg_database WHERE starts_with(datname, 'neonkit_test_')"
            names = (await connection.exec_driver_sql(query)).scalars().all()
    run.must_pass("test_a_title_is_taken_once")
    assert names == ["neonkit_test_aaaaaaaa_1"]
    assert not (project.folder / ".neonkit" / "test").exists()


@pytest.mark.parametrize("module", ["httpx2", "fastapi_free"])
def test_what_is_missing_is_named(project: Project, module: str) -> None:
    """A missing extra, or an app without neonkit, is one sentence with the fix."""
    fixes = {
        "httpx2": ('sys.modules["httpx2"] = None', "pip install 'neonkit[testing]'"),
        "fastapi_free": ("import notes; del notes.app.state.neonkit", "neonkit.install(app)"),
    }
    damage, fix = fixes[module]
    project.write(conftest=f"import sys; sys.path.insert(0, '.'); {damage}", test_notes=TEST_NOTES)

    run = project.test()

    assert run.outcomes == {"test_a_title_is_taken_once": "ERROR"}
    assert fix in run.text
