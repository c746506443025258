"""WebSockets: looked after as requests are, and closed with a code that says why."""

import logging
from collections.abc import Callable

import pytest
from fastapi import FastAPI, HTTPException, WebSocket
from httpx2 import AsyncClient
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed, InvalidStatus

import neonkit
from neonkit import DatabaseDep, Settings
from neonkit.db import current_scope
from neonkit.errors import ForbiddenError, InvalidTokenError, NotFoundError, UnauthorizedError
from neonkit.testing import LiveServer

ERRORS: dict[str, Callable[[], Exception]] = {
    "unauthorized": UnauthorizedError,
    "token": InvalidTokenError,
    "forbidden": ForbiddenError,
    "missing": NotFoundError,
    "http-403": lambda: HTTPException(403),
    "http-404": lambda: HTTPException(404),
    "defect": lambda: RuntimeError("nobody expected this"),
}


def fail_as(kind: str) -> None:
    """Raise one of the errors."""
    error = ERRORS[kind]()
    raise error


@pytest.fixture
def app() -> FastAPI:
    """An app that fails before and after it accepted."""
    app = FastAPI()
    neonkit.install(app, Settings(environment="test"))

    @app.websocket("/before/{kind}")
    async def before(socket: WebSocket, kind: str) -> None:
        del socket
        fail_as(kind)

    @app.websocket("/after/{kind}")
    async def after(socket: WebSocket, kind: str) -> None:
        await socket.accept()
        await socket.send_text("hello")
        fail_as(kind)

    @app.websocket("/scope")
    async def scope(socket: WebSocket, database: DatabaseDep) -> None:
        await socket.accept()
        async with database.session() as session:
            await session.connection()
        here = current_scope()
        await socket.send_json([here.deadline, here.label(), socket.state.request_id])
        await socket.receive_text()

    return app


def _url(server: LiveServer, path: str) -> str:
    return server.url.replace("http://", "ws://") + path


def _errors(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.ERROR]


@pytest.mark.parametrize(
    ("kind", "status", "lines"),
    [
        ("unauthorized", 401, 0),
        ("token", 401, 0),
        ("forbidden", 403, 0),
        ("http-403", 403, 0),
        ("http-404", 404, 1),
        ("missing", 404, 1),
        ("defect", 500, 1),
    ],
)
async def test_before_accept_the_handshake_is_refused(
    live_server: LiveServer,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    status: int,
    lines: int,
) -> None:
    """The client reads the problem's status; a caller who may not is no line in the error log."""
    with pytest.raises(InvalidStatus) as refused:
        async with connect(_url(live_server, f"/before/{kind}")):
            pass

    assert refused.value.response.status_code == status
    assert refused.value.response.headers["x-request-id"]
    assert len(_errors(caplog)) == lines
    assert all(line.startswith("WEBSOCKET /before/{kind}: ") for line in _errors(caplog))


@pytest.mark.parametrize(
    ("kind", "code", "lines"),
    [
        ("unauthorized", 1008, 0),
        ("token", 1008, 0),
        ("forbidden", 1008, 0),
        ("http-403", 1008, 0),
        ("http-404", 1011, 1),
        ("missing", 1011, 1),
        ("defect", 1011, 1),
    ],
)
async def test_after_accept_the_code_says_why(
    live_server: LiveServer,
    caplog: pytest.LogCaptureFixture,
    kind: str,
    code: int,
    lines: int,
) -> None:
    """1008 for a caller who may not, 1011 and one line with the route for everything else."""
    async with connect(_url(live_server, f"/after/{kind}")) as socket:
        assert await socket.recv() == "hello"
        with pytest.raises(ConnectionClosed) as closed:
            await socket.recv()

    assert closed.value.rcvd is not None
    assert closed.value.rcvd.code == code
    assert "nobody expected" not in closed.value.rcvd.reason
    assert len(_errors(caplog)) == lines
    assert all(line.startswith("WEBSOCKET /after/{kind}: ") for line in _errors(caplog))


async def test_a_socket_has_a_scope_an_id_and_a_line(
    live_server: LiveServer, client: AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    """No deadline, a label, a request id, and an access line when it is over; a client may go."""
    caplog.set_level(logging.INFO, "neonkit.access")
    async with connect(
        _url(live_server, "/scope"), additional_headers={"X-Request-ID": "sock"}
    ) as socket:
        assert await socket.recv() == '[null,"/scope","sock"]'
    for _ in range(100):
        if any(record.name == "neonkit.access" for record in caplog.records):
            break
        await client.get("/health/live")

    (line,) = (
        record
        for record in caplog.records
        if record.name == "neonkit.access" and vars(record)["method"] == "WEBSOCKET"
    )
    assert line.getMessage().startswith("WEBSOCKET /scope 1000 ")
    assert _errors(caplog) == []
