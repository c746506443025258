"""Slow clients: what they have not sent, or not read, holds no session of the database's."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from httpx2 import AsyncClient
from sqlalchemy import text
from sqlmodel import select

import neonkit
from neonkit import ReadSessionDep, SessionDep
from neonkit.testing import LiveServer

_BYTES = 300_000
_CLIENTS = 200
_READ = b"GET /wide HTTP/1.1\r\nHost: x\r\n\r\n"
_JSON = b"Content-Type: application/json\r\nContent-Length: 9\r\n"
_SEND = b"POST /count HTTP/1.1\r\nHost: x\r\n" + _JSON + b"\r\n["
_WIDE = text(f"SELECT repeat('x', {_BYTES})")


@pytest.fixture
def app() -> FastAPI:
    """Routes in whose session there is a transaction when they return."""
    app = FastAPI()
    neonkit.install(app, neonkit.Settings(environment="test"))
    app.state.found = 0

    @app.get("/wide")
    async def wide(session: ReadSessionDep) -> str:
        connection = await session.connection()
        found = str((await connection.execute(_WIDE)).scalar_one())
        app.state.found += 1
        return found

    @app.post("/count")
    async def count(numbers: list[int], session: SessionDep) -> int:
        return (await session.exec(select(len(numbers)))).one()

    return app


@asynccontextmanager
async def _slow_clients(url: str) -> AsyncIterator[None]:
    """Half of them read nothing, the others have sent half of a body."""
    host, loop = urlsplit(url), asyncio.get_running_loop()
    clients = []
    for number in range(_CLIENTS):
        client = socket.socket()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)
        await loop.sock_connect(client, (host.hostname, host.port))
        await loop.sock_sendall(client, _READ if number % 2 else _SEND)
        clients.append(client)
    try:
        yield
    finally:
        for client in clients:
            client.close()


async def test_two_hundred_hurt_nobody(
    app: FastAPI, client: AsyncClient, live_server: LiveServer
) -> None:
    """The pool, which is of 15, is free while they wait, and others are answered as ever."""
    database = app.state.neonkit.require_database()
    async with _slow_clients(live_server.url):
        async with asyncio.timeout(30):
            while app.state.found < _CLIENTS / 2 or database.pool_use.checked_out:  # noqa: ASYNC110  # nobody tells
                await asyncio.sleep(0.05)
        assert database.pool_use.waiting == 0
        for _ in range(5):
            assert len((await client.get("/wide")).json()) == _BYTES
            assert (await client.post("/count", json=[1, 2])).json() == 2
        assert (await client.get("/health/live")).status_code == 200
