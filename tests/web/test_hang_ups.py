"""A client that hangs up: its connection is free again, and what was not committed is undone."""

import asyncio
import gc
import os
import random
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from typing import Any, Literal
from urllib.parse import urlsplit

import pytest
import uvicorn
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from pydantic import BaseModel
from sqlalchemy import func, insert, text
from sqlmodel import Field, select

import neonkit
from neonkit import Database, DatabaseDep, SessionDep, TableModel
from neonkit.cli._http_protocol import ConnectionPolicy, http_protocol
from neonkit.db import PoolPolicy, TimeoutPolicy, create_engine
from neonkit.db._wire.dialect import NeonDialect
from neonkit.local import WireProxy
from neonkit.testing._app_lifespan import running

pytestmark = [pytest.mark.real_commits, pytest.mark.both_drivers]

RUNNING = (
    "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
    "AND pid <> pg_backend_pid() AND (state <> 'idle' OR wait_event_type = 'Lock')"
)


class Shell(TableModel, table=True):
    """Something to write."""

    id: int | None = Field(default=None, primary_key=True)
    nonce: str = Field(max_length=50)


class Nonce(BaseModel):
    """A value of one request's own."""

    nonce: str


async def _lone(body: Nonce, database: DatabaseDep) -> str:
    await database.execute(insert(Shell).values(nonce=body.nonce))
    return body.nonce


def _app() -> FastAPI:
    app = FastAPI()
    neonkit.install(app, neonkit.Settings(environment="test"))

    @app.get("/locked")
    async def locked(session: SessionDep) -> int:
        return len((await session.exec(select(Shell).with_for_update())).all())

    @app.post("/slow")
    async def slow(body: Nonce, session: SessionDep) -> str:
        session.add(Shell(nonce=body.nonce))
        await session.flush()
        await session.exec(select(func.pg_sleep(30)))
        await session.commit()
        return body.nonce

    @app.post("/committing")
    async def committing(body: Nonce, database: DatabaseDep) -> str:
        rows = text("INSERT INTO shell (nonce) SELECT :nonce FROM pg_sleep(0.8)")
        await database.execute(rows, parameters={"nonce": body.nonce})
        await database.execute(rows, parameters={"nonce": f"{body.nonce} again"})
        return body.nonce

    app.post("/lone")(_lone)

    @app.post("/echo")
    async def echo(body: Nonce, session: SessionDep, seconds: float = 0) -> str:
        found = select(func.concat(body.nonce)).select_from(func.pg_sleep(seconds))
        session.add(Shell(nonce=body.nonce))
        said = (await session.exec(found)).one()
        await session.commit()
        return str(said)

    @app.get("/asking")
    async def asking(request: Request) -> list[bool]:
        before = await request.is_disconnected()
        await asyncio.sleep(0.4)
        return [before, await request.is_disconnected()]

    @app.get("/stream")
    async def stream(seconds: float) -> StreamingResponse:
        async def tell() -> AsyncIterator[str]:
            for number in range(3):
                await asyncio.sleep(seconds)
                yield f"{number}\n"

        return StreamingResponse(tell())

    @app.post("/late-body")
    async def late_body(request: Request) -> int:
        await asyncio.sleep(0.4)
        return len(await request.body())

    return app


Protocol = Literal["ours", "httptools", "h11"]


@asynccontextmanager
async def _served(db: Database, protocol: Protocol) -> AsyncIterator[tuple[str, Database]]:
    """The app on a port, with a pool of five; the address, and the app's database."""
    dialect = db.engine.dialect
    assert isinstance(dialect, NeonDialect)
    engine = create_engine(
        dialect.connector.dsn,
        driver="psycopg" if dialect.driver == "psycopg" else "asyncpg",
        pool=PoolPolicy(size=5, overflow=0),
        timeouts=TimeoutPolicy(statement=12, lock=10),
    )
    http: Any = http_protocol(ConnectionPolicy()) if protocol == "ours" else protocol
    async with Database(engine) as database, running(_app(), database) as asgi:
        config = uvicorn.Config(
            asgi, interface="asgi3", lifespan="off", log_config=None, http=http, port=0
        )
        server = uvicorn.Server(config)
        server.capture_signals = nullcontext  # type: ignore[method-assign,assignment]  # pytest has its own
        with socket.create_server(("127.0.0.1", 0)) as listener:
            serving = asyncio.create_task(server.serve([listener]))
            try:
                yield f"http://127.0.0.1:{listener.getsockname()[1]}", database
            finally:
                server.should_exit = True
                await serving


async def _send(
    url: str, path: str, body: bytes = b"", *, is_get: bool = False
) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    host = urlsplit(url)
    reader, writer = await asyncio.open_connection(host.hostname, host.port)
    kind = f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n" if body else ""
    verb = "GET" if is_get else "POST"
    head = f"{verb} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{kind}\r\n"
    writer.write(head.encode() + body)
    await writer.drain()
    return reader, writer


async def _answer(url: str, path: str, body: bytes = b"", *, is_get: bool = False) -> str:
    reader, writer = await _send(url, path, body, is_get=is_get)
    answer = await reader.read()
    writer.close()
    return answer.partition(b"\r\n\r\n")[2].decode()


async def _soon(holds: Callable[[], Any], seconds: float = 3.0) -> None:
    """Wait until something is so: within a second, or three where other tests run beside it."""
    async with asyncio.timeout(seconds):
        while not await holds():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.02)


async def _count(db: Database, statement: str) -> int:
    return int((await db.execute(text(statement))).scalar_one())


@pytest.mark.parametrize("protocol", ["ours", "httptools", "h11"])
async def test_forty_that_hang_up_behind_a_lock(db: Database, protocol: Protocol) -> None:
    """A second later no statement of theirs runs, and the pool is free; those in line are gone."""
    async with _served(db, protocol) as (url, database), db.session() as session:
        await session.exec(select(func.pg_sleep(0)))
        connection = await session.connection()
        await connection.execute(text("LOCK TABLE shell IN ACCESS EXCLUSIVE MODE"))
        clients = [await _send(url, "/locked", is_get=True) for _ in range(40)]
        await _soon(lambda: _as_async(database.pool_use.waiting == 35), 5)
        for _, writer in clients:
            writer.close()
        await _soon(lambda: _as_async(_is_free(database)))
        locked = f"{RUNNING} AND state <> 'idle in transaction'"
        await _soon(lambda: _is_zero(db, locked))
        await session.rollback()
        assert await _answer(url, "/locked", is_get=True) == "0"


def _is_free(database: Database) -> bool:
    return (database.pool_use.checked_out, database.pool_use.waiting) == (0, 0)


async def _as_async(value: bool) -> bool:
    return value


async def _is_zero(db: Database, statement: str) -> bool:
    return await _count(db, statement) == 0


async def test_what_was_not_committed_is_undone(db: Database) -> None:
    """The transaction of a client that hung up is rolled back, its statement cancelled."""
    async with _served(db, "ours") as (url, database):
        _, writer = await _send(url, "/slow", b'{"nonce": "half"}')
        await _soon(lambda: _as_async(database.pool_use.checked_out == 1), 5)
        await asyncio.sleep(0.2)
        writer.close()
        await _soon(lambda: _as_async(database.pool_use.checked_out == 0))
        await _soon(lambda: _is_zero(db, RUNNING))
    assert await _is_zero(db, "SELECT count(*) FROM shell")


async def test_what_may_have_been_committed_goes_on(db: Database) -> None:
    """From the statement that commits on, the work of a client that hung up is completed."""
    async with _served(db, "ours") as (url, _):
        _, writer = await _send(url, "/committing", b'{"nonce": "whole"}')
        await asyncio.sleep(0.5)
        writer.close()
        await _soon(lambda: _is_zero(db, "SELECT count(*) - 2 FROM shell"), 5)


@contextmanager
def _frozen(wire: WireProxy) -> Iterator[None]:
    wire.freeze()
    try:
        yield
    finally:
        wire.thaw()


@pytest.mark.parametrize("is_prepared", [False, True])
async def test_the_shield_begins_with_the_bytes_that_commit(
    db: Database, neon: WireProxy, database_driver: str, is_prepared: bool
) -> None:
    """A client that hangs up while its statement is only prepared leaves nothing behind.

    psycopg prepares and executes in one trip: there the bytes that commit are on their way.
    """
    async with _served(db, "ours") as (url, database):
        rows = int(is_prepared)
        if is_prepared:
            await _answer(url, "/lone", b'{"nonce": "first"}')
        await database.execute(text("SELECT 1"))
        trips = neon.trips
        with _frozen(neon):
            _, writer = await _send(url, "/lone", b'{"nonce": "left"}')
            await _soon(lambda: _as_async(neon.trips > trips), 5)
            writer.close()
            if is_prepared or database_driver == "psycopg":
                rows += 1
                await asyncio.sleep(0.2)  # time to be stopped in
            else:
                await _soon(lambda: _as_async(_is_free(database)))
        await _soon(lambda: _is_zero(db, f"SELECT count(*) - {rows} FROM shell"))
        await _soon(lambda: _as_async(_is_free(database)))


@pytest.mark.parametrize("protocol", ["ours", "h11"])
async def test_an_app_that_listens_itself_is_not_disturbed(
    db: Database, protocol: Protocol
) -> None:
    """It asks whether its client is there, streams, and reads a body late, as without a watch."""
    async with _served(db, protocol) as (url, _):
        assert await _answer(url, "/asking", is_get=True) == "[false,false]"
        streamed = await _answer(url, "/stream?seconds=0.2", is_get=True)
        assert all(f"\n{number}\n" in streamed for number in range(3))
        assert await _answer(url, "/late-body", b"[" + b"1," * 9_999 + b"1]") == "20001"


async def test_random_hang_ups_leak_nothing(db: Database, recwarn: pytest.WarningsRecorder) -> None:
    """The pool is empty after it, no session is in a transaction, and nobody gets another's answer.

    `NEONKIT_HANG_UPS=20000` makes the run long.
    """
    dropped = int(os.environ.get("NEONKIT_HANG_UPS", "400"))
    draw = random.Random(14)
    async with _served(db, "ours") as (url, database):

        async def drop(number: int) -> None:
            body = f'{{"nonce": "n{number}"}}'.encode()
            seconds = draw.choice([0, 0, 0.3])
            reader, writer = await _send(url, f"/echo?seconds={seconds}", body)
            try:
                async with asyncio.timeout(draw.choice([0.001, 0.01, 0.05, 0.25, 0.6])):
                    answer = await reader.read()
                    if answer.startswith(b"HTTP/1.1 200"):
                        assert f'"n{number}"'.encode() in answer
            except TimeoutError:
                pass
            finally:
                writer.close()

        async def drop_some(first: int) -> None:
            for number in range(first, dropped, 16):
                await drop(number)

        await asyncio.gather(*(drop_some(first) for first in range(16)))
        await _soon(lambda: _as_async(_is_free(database)), 6)
        await _soon(lambda: _is_zero(db, RUNNING), 3)
        sessions = RUNNING.partition(" AND (")[0] + " AND application_name <> ''"
        assert await _count(db, sessions) <= 6 + 5
        gc.collect()
    assert not [str(each.message) for each in recwarn if "garbage" in str(each.message)]
    twice = "SELECT count(*) FROM (SELECT 1 FROM shell GROUP BY nonce HAVING count(*) > 1) AS t"
    assert await _is_zero(db, twice)
