"""Where a request's processor time goes: `python benchmarks/cpu.py`.

Runs each step of a request in one process, without a server around it, on an embedded PostgreSQL,
and writes `benchmarks/results/cpu.md`. The steps take turns; a figure is the median of the rounds.
Takes a minute.
"""

import asyncio
import gc
import json
import logging
import os
import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any

import asyncpg
import uvloop
from fastapi import FastAPI
from pydantic import BaseModel
from sqlalchemy import bindparam, make_url
from sqlalchemy.ext.asyncio import async_sessionmaker, create_async_engine
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession
from starlette.types import ASGIApp

import neonkit
from neonkit import Database, DatabaseDep, ReadSessionDep, SessionDep, Settings
from neonkit.auth import Principal, issue_access_token
from neonkit.local import LocalServer
from neonkit.web import BodyMiddleware
from neonkit_starter.app import create_app
from neonkit_starter.posts.models import Post
from neonkit_starter.posts.schemas import PostCreate
from neonkit_starter.settings import StarterSettings
from neonkit_starter.users.models import User
from neonkit_starter.users.queries import USERS
from neonkit_starter.users.schemas import UserRead

ROUNDS, REQUESTS = 40, 25
RESULT = Path(__file__).parent / "results" / "cpu.md"
TEXT = """\
# Where a request's processor time goes

`python benchmarks/cpu.py` on {date}: {machine}.

Microseconds of the process, median of {rounds} rounds in which the steps took turns; no HTTP server
around them, which would add the same to all.

{table}

## What it says

* *FastAPI and SQLAlchemy alone* is a read as lean as its session allows: no transaction, no ping,
  no reset, no log, one driver call; the rest is a statement built, looked up in the cache and
  executed, and a row made an entity. No road through a session is cheaper, and on this machine that
  road alone takes nearly all that the bounds for plain sessions allow: 0.46 of what the way of
  Neon's guide takes for a read ([bench.md](bench.md)).
* neonkit's session adds what tells it when to begin and when not to: the statement judged, the
  round trip counted and timed, a deadline on each wait, the writes noted that nobody may forget to
  commit, the connection looked at before it is lent.
* `ReadSessionDep` makes a session and puts its end on the request's stack, which FastAPI unwinds
  before the response begins: there it can still refuse to answer 201 for work that nobody
  committed. `DatabaseDep` has no end, and is cheaper.
* `Database.execute` leaves the session out, and the statement's construction where it is made once.

## What was tried

Kept: statements put together once for a structure, with values as parameters; one greenlet for a
whole unit of work; rows by name instead of by column; times in UTC taken as they come; models given
dicts instead of rows; a token's signature verified once; what was imported frozen out of garbage
collections, whose full ones stopped the process for 50 ms.

Without effect, and left out: a shorter cache key for each statement (SQLAlchemy's lookup was not
the cost that a tracing profiler made of it), and collecting garbage less often. Kept since: plain
reads and whole units of work go past SQLAlchemy's execution where nobody listens to it
([what goes by a ready plan](../../docs/explanation/sessions.md)).
"""


class _Nothing(BaseModel):
    """An answer of nothing."""


Sessions = async_sessionmaker[AsyncSession]
Step = Callable[[], Awaitable[object]]


def _request(app: ASGIApp, method: str, path: str, token: str = "", body: bytes = b"") -> Step:
    headers = [(b"host", b"x"), (b"content-type", b"application/json")]
    headers += [(b"authorization", f"Bearer {token}".encode())] * bool(token)
    headers += [(b"content-length", str(len(body)).encode())] * bool(body)

    async def send(message: Any) -> None:  # noqa: ANN401  # ASGI's
        assert message.get("status", 200) < 300, (path, message)  # noqa: PLR2004, S101

    async def run() -> None:
        has_sent = False

        async def receive() -> dict[str, Any]:
            nonlocal has_sent
            if has_sent:
                await asyncio.sleep(3600)
            has_sent = True
            return {"type": "http.request", "body": body, "more_body": False}

        scope = {
            "type": "http",
            "asgi": {"version": "3.0"},
            "http_version": "1.1",
            "method": method,
            "scheme": "http",
            "path": path,
            "raw_path": path.encode(),
            "query_string": b"",
            "root_path": "",
            "headers": headers,
            "client": ("127.0.0.1", 1),
            "server": ("127.0.0.1", 80),
            "state": {},
        }
        await app(scope, receive, send)

    return run


def _bare(user: User, sessions: Sessions) -> FastAPI:
    app = FastAPI()

    @app.get("/nothing")
    async def nothing() -> _Nothing:
        return _Nothing()

    @app.get("/model", response_model=UserRead)
    async def model() -> User:
        return user

    @app.post("/posts")
    async def write(_body: PostCreate) -> _Nothing:
        return _Nothing()

    @app.get("/users/{user_id}", response_model=UserRead)
    async def read(user_id: int) -> User:
        async with sessions() as session:
            return (await session.exec(select(User).where(User.id == user_id))).one()

    return app


def _plain(settings: Settings) -> FastAPI:
    app = FastAPI()
    neonkit.install(app, settings)

    @app.get("/nothing")
    async def nothing() -> _Nothing:
        return _Nothing()

    @app.get("/database")
    async def database(_: DatabaseDep) -> _Nothing:
        return _Nothing()

    @app.get("/session")
    async def session(_: ReadSessionDep) -> _Nothing:
        return _Nothing()

    @app.get("/users/{user_id}", response_model=UserRead)
    async def read(user_id: int, session: ReadSessionDep) -> User:
        return (await session.exec(select(User).where(User.id == user_id))).one()

    @app.post("/posts")
    async def create(session: SessionDep) -> _Nothing:
        session.add(Post(author_id=1, title="On looms", content="They weave."))
        await session.commit()
        return _Nothing()

    return app


def _bodies(app: FastAPI) -> dict[str, Step]:
    """The same body with and without `BodyMiddleware`, which reads JSON once more, strictly."""
    strict = BodyMiddleware(app, most_bytes=65_536)
    small, large = (
        json.dumps({"title": "On looms", "content": "They weave. " * times}).encode()
        for times in (5, 1_600)
    )
    return {
        "FastAPI alone, a body of 100 bytes": _request(app, "POST", "/posts", body=small),
        "… read strictly before": _request(strict, "POST", "/posts", body=small),
        "FastAPI alone, a body of 20 kB": _request(app, "POST", "/posts", body=large),
        "… read strictly before, of 20 kB": _request(strict, "POST", "/posts", body=large),
    }


async def _read_alone(make: Callable[[], Any]) -> User:
    async with make() as session:
        found: User = (await session.exec(select(User).where(User.id == 1))).one()
        return found


async def _steps(url: str, stack: AsyncExitStack) -> dict[str, Step]:
    settings = StarterSettings(
        _env_file=None,  # pyright: ignore[reportCallIssue]  # pydantic-settings' own
        environment="production",
        neon_database_url=url,
        secret_key=token_hex(32),
        log_format="json",
    )
    plain, starter = _plain(settings), create_app(settings)
    for app in (plain, starter):
        await stack.enter_async_context(app.router.lifespan_context(app))
    database: Database = starter.state.neonkit.database
    user = await _read_alone(database.session)
    token = issue_access_token(starter.state.neonkit.tokens, "1", Principal(1, "user"))
    driver = await asyncpg.connect(url.partition("?")[0])
    stack.push_async_callback(driver.close)
    prepared = await driver.prepare("SELECT * FROM users WHERE id = $1")
    engine = create_async_engine(
        make_url(url.partition("?")[0]).set(drivername="postgresql+asyncpg"),
        isolation_level="AUTOCOMMIT",
        pool_reset_on_return=None,
    )
    stack.push_async_callback(engine.dispose)
    tuned = async_sessionmaker(engine, class_=AsyncSession, expire_on_commit=False)
    bare, values = _bare(user, tuned), {"user_id": 1}
    by_id = USERS.where(col(User.id) == bindparam("user_id"))
    return {
        "FastAPI alone, an answer of nothing": _request(bare, "GET", "/nothing"),
        "FastAPI alone, a user as an answer": _request(bare, "GET", "/model"),
        **_bodies(bare),
        "FastAPI and SQLAlchemy alone, on AUTOCOMMIT: read one": _request(bare, "GET", "/users/1"),
        "neonkit installed, an answer of nothing": _request(plain, "GET", "/nothing"),
        "… and `DatabaseDep`": _request(plain, "GET", "/database"),
        "… or `ReadSessionDep`, unused": _request(plain, "GET", "/session"),
        "**plain sessions: read one**": _request(plain, "GET", "/users/1"),
        "**plain sessions: create**": _request(plain, "POST", "/posts"),
        "**the starter: read one, signed in**": _request(starter, "GET", "/api/v1/users/me", token),
        "**the starter: create, signed in**": _request(
            starter,
            "POST",
            "/api/v1/posts",
            token,
            b'{"title": "On looms", "content": "They weave."}',
        ),
        "alone, asyncpg: the row": lambda: prepared.fetch(1),
        "alone, SQLAlchemy's session on AUTOCOMMIT: the entity": lambda: _read_alone(tuned),
        "alone, neonkit's session: the entity": lambda: _read_alone(database.read_session),
        "alone, `Database.execute`: the row": lambda: database.execute(by_id, parameters=values),
    }


async def _measure(steps: dict[str, Step]) -> dict[str, float]:
    for step in steps.values():
        for _ in range(REQUESTS * 2):
            await step()
    gc.collect()
    gc.freeze()
    found: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(ROUNDS):
        for name, step in steps.items():
            started = time.process_time()
            for _ in range(REQUESTS):
                await step()
            found[name].append((time.process_time() - started) / REQUESTS * 1e6)
    return {name: statistics.median(each) for name, each in found.items()}


async def _run() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        async with (
            await LocalServer.start(Path(folder), is_durable=False) as server,
            AsyncExitStack() as stack,
        ):
            async with neonkit.create_engine(server.url).connect() as connection:
                await connection.run_sync(User.metadata.create_all)
                await connection.commit()
            async with Database(neonkit.create_engine(server.url)) as database:
                await database.bring_schema()
                async with database.session() as session:
                    ada = User(username="ada", email="ada@example.com", hashed_password="-")  # noqa: S106
                    session.add(ada)
                    await session.commit()
            return await _measure(await _steps(server.url, stack))


def main() -> None:
    """Measure, print, and write the page."""
    os.environ.pop("NEON_DATABASE_URL", None)
    logging.getLogger().addHandler(logging.StreamHandler(open(os.devnull, "w")))  # noqa: PTH123, SIM115
    figures = uvloop.run(_run())
    rows = "\n".join(f"| {name} | {figure:,.0f} |" for name, figure in figures.items())
    machine = (
        f"CPython {platform.python_version()}, {platform.system()} on {platform.machine()}, "
        f"{os.cpu_count()} cores"
    )
    page = TEXT.format(
        date=datetime.now(UTC).date(),
        machine=machine,
        rounds=ROUNDS,
        table=f"| step | µs |\n| --- | ---: |\n{rows}",
    )
    sys.stdout.write(page)
    RESULT.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
