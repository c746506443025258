"""Connections within bounds: what is refused while it is read, and what is closed in time."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field, replace

import pytest
import uvicorn
from fastapi import FastAPI, Request, WebSocket
from starlette.responses import Response, StreamingResponse

import neonkit
from neonkit import Settings
from neonkit.cli._http_protocol import ConnectionPolicy, connections_within, http_protocol
from neonkit.web import admission

HOST = b"Host: here\r\n"
GET = b"GET /size HTTP/1.1\r\n" + HOST
LONG = 20.0
"""Seconds that nothing takes which works."""
PAGE = 8 * 1024 * 1024
QUICK = ConnectionPolicy(head_timeout=0.5, reader_timeout=0.5, linger=0.5, most_unsent=8 * PAGE)

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@pytest.fixture
def app() -> FastAPI:
    """An app that answers at once, slowly, and with more than a socket takes."""
    app = FastAPI()
    settings = Settings(
        environment="test",
        max_body_bytes=10_000,
        request_timeout=2,
        statement_timeout=1,
        lock_timeout=0.5,
        pool_timeout=1,
        connect_timeout=1,
    )
    neonkit.install(app, settings)

    @app.get("/size")
    @app.post("/size")
    async def size(request: Request) -> dict[str, object]:
        body = await request.body()
        return {"size": len(body), "trailer": request.headers.get("x-trailer")}

    @app.post("/unread")
    async def unread() -> str:
        return "not read"

    @app.get("/slow")
    async def slow() -> str:
        await asyncio.sleep(0.3)
        return "slow"

    @app.get("/page")
    async def page() -> Response:
        return Response(b"a" * PAGE)

    @app.get("/stream")
    async def stream() -> Response:
        async def parts() -> AsyncIterator[bytes]:
            for _ in range(PAGE // 65536):
                yield b"a" * 65536

        return StreamingResponse(parts())

    @app.websocket("/socket")
    async def socket(websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")

    return app


class _Quiet(uvicorn.Server):
    """A server that leaves the signals to the tests."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@dataclass
class Served:
    """A server of this process's, and its connections."""

    server: uvicorn.Server
    port: int
    opened: list[asyncio.StreamWriter] = field(default_factory=list)

    async def connect(self) -> Streams:
        """Open a connection that says nothing."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        self.opened.append(writer)
        return reader, writer

    async def ask_and_not_read(self, request: bytes) -> None:
        """Send a request on a connection of its own, and take nothing of the answer."""
        _, writer = await self.connect()
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's type may only write
        writer.write(request)

    async def until_held(self, fewest: int, most: int) -> None:
        """Wait until so many connections are open."""
        async with asyncio.timeout(LONG):
            while not fewest <= self.held <= most:  # noqa: ASYNC110  # the server tells nobody
                await asyncio.sleep(0.01)

    async def say(self, *parts: bytes) -> bytes:
        """Say something on a connection of its own, and give all that comes until it is closed."""
        reader, writer = await self.connect()
        try:
            for part in parts:
                writer.write(part)
                await writer.drain()
        except ConnectionError:
            pass  # refused in the middle of it; the answer may be there all the same
        return await until_closed(reader)

    @property
    def held(self) -> int:
        """How many connections are open."""
        return len(self.server.server_state.connections)


async def until_closed(reader: asyncio.StreamReader) -> bytes:
    """Read until the server closes."""
    got = bytearray()
    async with asyncio.timeout(LONG):
        try:
            while piece := await reader.read(1 << 16):
                got += piece
        except ConnectionResetError:
            pass
    return bytes(got)


@asynccontextmanager
async def serving(app: FastAPI, policy: ConnectionPolicy) -> AsyncIterator[Served]:
    """Serve an app for the block, over TCP."""
    config = uvicorn.Config(
        app,
        port=0,
        lifespan="off",
        log_config=None,
        http=http_protocol(policy),  # type: ignore[arg-type]  # it is called, as a class would be
        timeout_keep_alive=1,
    )
    server = _Quiet(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110  # uvicorn has nothing to wait for
        await asyncio.sleep(0.01)
    served = Served(server, server.servers[0].sockets[0].getsockname()[1])
    try:
        yield served
    finally:
        for writer in served.opened:
            writer.transport.abort()
            with suppress(ConnectionError):
                await writer.wait_closed()
        server.should_exit = server.force_exit = True
        await task


@pytest.fixture
async def served(app: FastAPI) -> AsyncIterator[Served]:
    """The app, with short deadlines."""
    async with serving(app, QUICK) as served:
        yield served


def answers(got: bytes) -> list[tuple[int, str]]:
    """Status and slug, or body, of each answer on a connection."""
    found = []
    while got:
        head, _, rest = got.partition(b"\r\n\r\n")
        lines = head.split(b"\r\n")
        headers = {
            name.lower(): value.strip()
            for name, _, value in (line.partition(b":") for line in lines[1:])
        }
        length = int(headers[b"content-length"])
        body, got = rest[:length], rest[length:]
        status = int(lines[0].split()[1])
        if headers[b"content-type"] == b"application/problem+json":
            document = json.loads(body)
            assert document["status"] == status
            assert document["instance"] == headers[b"x-request-id"].decode()
            assert headers[b"x-content-type-options"] == b"nosniff"
            found.append((status, document["type"].rpartition("/")[2]))
        else:
            found.append((status, body.decode()))
    return found


CHUNKED = b"POST /size HTTP/1.1\r\n" + HOST + b"Transfer-Encoding: chunked\r\n\r\n"
LENGTH = b"POST /size HTTP/1.1\r\n" + HOST + b"Content-Length: "
TOO_MUCH = (413, "payload-too-large")
TOO_LONG = (414, "uri-too-long")
MALFORMED = (400, "malformed-header")
TOO_LARGE = (431, "header-too-large")
REFUSED = {
    "101 fields": (GET + b"X: 1\r\n" * 100 + b"\r\n", TOO_LARGE),
    "50,000 fields": (GET + b"X: 1\r\n" * 50_000 + b"\r\n", TOO_LARGE),
    "40 kB in fields": (GET + (b"X: " + b"a" * 1000 + b"\r\n") * 40 + b"\r\n", TOO_LARGE),
    "40 kB in one value": (GET + b"X: " + b"a" * 40_000 + b"\r\n\r\n", TOO_LARGE),
    "40 kB in one name": (GET + b"a" * 40_000 + b": 1\r\n\r\n", TOO_LARGE),
    "a value without an end": (GET + b"X: " + b"a" * 1_000_000, TOO_LARGE),
    "a long target": (GET.replace(b"size", b"a" * 9_000) + b"\r\n", TOO_LONG),
    "a target without an end": (b"GET /" + b"a" * 1_000_000, TOO_LONG),
    "a long query": (GET.replace(b"size", b"?" + b"a&" * 5_000) + b"\r\n", TOO_LONG),
    "no Host": (b"GET /size HTTP/1.1\r\n\r\n", MALFORMED),
    "two Hosts": (GET + HOST + b"\r\n", MALFORMED),
    "a Host with blanks": (b"GET /size HTTP/1.1\r\nHost: a b\r\n\r\n", MALFORMED),
    "a Host with a path": (b"GET /size HTTP/1.1\r\nHost: a/b\r\n\r\n", MALFORMED),
    "two Hosts in HTTP/1.0": (b"GET /size HTTP/1.0\r\n" + HOST * 2 + b"\r\n", MALFORMED),
    "two Authorizations": (GET + b"Authorization: Bearer a\r\n" * 2 + b"\r\n", MALFORMED),
    "two types": (GET + b"Content-Type: a/b\r\ncontent-type: a/b\r\n\r\n", MALFORMED),
    "two If-Matches": (GET + b'If-Match: "a"\r\n' * 2 + b"\r\n", MALFORMED),
    "two lengths": (LENGTH + b"1\r\nContent-Length: 1\r\n\r\na", MALFORMED),
    "a length and chunks": (CHUNKED[:-2] + b"Content-Length: 1\r\n\r\n1\r\na", MALFORMED),
    "a negative length": (LENGTH + b"-1\r\n\r\n", MALFORMED),
    "an obsolete fold": (GET + b"X: a\r\n b\r\n\r\n", MALFORMED),
    "a blank before the colon": (GET + b"X : a\r\n\r\n", MALFORMED),
    "a bare CR": (GET + b"X: a\rb\r\n\r\n", MALFORMED),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", MALFORMED),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", MALFORMED),
    "no method": (b"\x00\x01\x02\x03\r\n\r\n", MALFORMED),
    "CONNECT": (b"CONNECT other:443 HTTP/1.1\r\n" + HOST + b"\r\n", MALFORMED),
    "a chunk that is none": (CHUNKED + b"zz\r\n", MALFORMED),
    "200 trailers": (CHUNKED + b"1\r\na\r\n0\r\n" + b"X: 1\r\n" * 200 + b"\r\n", TOO_LARGE),
    "a trailer without an end": (CHUNKED + b"1\r\na\r\n0\r\nX: " + b"a" * 1_000_000, TOO_LARGE),
    "a chunk extension without an end": (CHUNKED + b"1;" + b"a" * 1_000_000, TOO_LARGE),
    "too long a body": (LENGTH + b"20000\r\n\r\n" + b"a" * 20_000, TOO_MUCH),
    "too long a body in chunks": (CHUNKED + (b"1000\r\n" + b"a" * 4096 + b"\r\n") * 5, TOO_MUCH),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
async def test_what_no_app_can_be_given(served: Served, name: str) -> None:
    """A problem document of the right kind, then the end of the connection."""
    sent, expected = REFUSED[name]
    got = await served.say(*(sent[at : at + 50_000] for at in range(0, len(sent), 50_000)))

    assert answers(got) == [expected]
    assert b"connection: close" in got.lower()
    assert (await served.say(GET + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("name", REFUSED)
async def test_a_refusal_waits_for_its_turn(served: Served, name: str) -> None:
    """It stands behind the answers to the requests that were sent before it."""
    sent, expected = REFUSED[name]
    slow = b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n"
    parts = (slow * 2 + sent[:40_000], sent[40_000:])
    got = await served.say(*parts)

    assert answers(got) == [(200, '"slow"'), (200, '"slow"'), expected]


@pytest.mark.parametrize("has_hsts", [True, False])
async def test_a_refusal_has_the_headers_of_an_answer(app: FastAPI, has_hsts: bool) -> None:
    """The client's id if it was read, `no-store`, the strict policy, HSTS in production."""
    async with serving(app, ConnectionPolicy(has_hsts=has_hsts)) as served:
        given = b"X-Request-ID: mine-1\r\nIf-Match: a\r\nIf-Match: b\r\n\r\n"
        got = (await served.say(GET + given)).lower()
        unread = (await served.say(b"\x16\x03\x01\r\n\r\n")).lower()

    assert b"x-request-id: mine-1\r\n" in got
    for answer in (got, unread):
        assert b"cache-control: no-store\r\n" in answer
        assert b"content-security-policy: default-src 'none'" in answer
        assert (b"strict-transport-security: " in answer) is has_hsts


async def test_what_is_within_the_bounds(served: Served) -> None:
    """99 more fields, 30 kB of them, and a target of 8,000 bytes are answered."""
    fields = b"".join(b"X-%d: %s\r\n" % (at, b"a" * 290) for at in range(98))
    head = b"GET /size?q=" + b"a" * 8_000 + b" HTTP/1.1\r\n" + HOST + fields
    got = await served.say(head + b"Connection: close\r\n\r\n")

    assert got.startswith(b"HTTP/1.1 200")


async def test_a_trailer_is_no_header(served: Served) -> None:
    """It never appears among the headers that the app sees."""
    got = await served.say(
        CHUNKED[:-2] + b"Connection: close\r\n\r\n1\r\na\r\n",
        b"0\r\nX-Trailer: evil\r\nAuthorization: Bearer a\r\n\r\n",
    )

    assert answers(got) == [(200, '{"size":1,"trailer":null}')]


async def test_pipelined_requests(served: Served) -> None:
    """2,000 on one connection are answered in order."""
    last = GET + b"Connection: close\r\n\r\n"
    got = await served.say((GET + b"\r\n") * 1_999 + last)

    assert answers(got) == [(200, '{"size":0,"trailer":null}')] * 2_000


async def test_chunks_of_one_byte(served: Served) -> None:
    """However finely a body is cut, it is read."""
    got = await served.say(
        CHUNKED[:-2] + b"Connection: close\r\n\r\n", b"1\r\na\r\n" * 9_000, b"0\r\n\r\n"
    )

    assert answers(got) == [(200, '{"size":9000,"trailer":null}')]


SILENT = {
    "nothing": [b""],
    "half a head": [GET],
    "half a request line": [b"GET /si"],
    "blank lines": [b"\r\n"],
    "half a second head": [GET + b"\r\n" + GET],
    "blank lines after an answer": [GET + b"\r\n", b"\r\n"],
    "an upgrade with a body that never comes": [
        LENGTH + b"5\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    ],
    "half an upgrade": [GET + b"Connection: Upgrade\r\nUpgrade: websocket\r\n"],
    "a body that is not read": [b"POST /unread HTTP/1.1\r\n" + HOST + b"Content-Length: 9\r\n\r\n"],
    "a body that never comes": [LENGTH + b"9\r\n\r\n"],
    "nothing after an answer": [GET + b"\r\n"],
    "nothing after an answer to HTTP/1.0": [b"GET /size HTTP/1.0\r\n\r\n"],
}


@pytest.mark.parametrize("name", SILENT)
async def test_who_says_nothing_more_is_closed(served: Served, name: str) -> None:
    """Before the first byte, within a head or a body, and between requests."""
    reader, writer = await served.connect()
    for part in SILENT[name]:
        writer.write(part)
        await asyncio.sleep(0.1)
    got = await until_closed(reader)

    assert got.count(b"HTTP/1.1 ") <= 2
    await served.until_held(0, 0)


UNREAD = b"POST /unread HTTP/1.1\r\n" + HOST + b"Content-Length: 9999\r\n\r\n"
DRIPPED = {"a head": (GET, b"a"), "blank lines": (b"", b"\n"), "a body not read": (UNREAD, b"a")}


@pytest.mark.parametrize("name", DRIPPED)
async def test_bytes_one_by_one_gain_no_time(served: Served, name: str) -> None:
    """The deadline of a head is counted from its first byte, not from its last."""
    reader, writer = await served.connect()
    closed = asyncio.create_task(until_closed(reader))
    at_once, byte = DRIPPED[name]
    writer.write(at_once)
    for _ in range(2_000):
        if closed.done():
            break
        writer.write(byte)
        await asyncio.sleep(0.01)

    assert closed.done()


async def test_a_slow_body_is_408_and_the_end(served: Served) -> None:
    """The connection goes with it; what the client still sends is read by nobody."""
    reader, writer = await served.connect()
    writer.write(LENGTH + b"9999\r\n\r\n")
    closed = asyncio.create_task(until_closed(reader))
    while not closed.done():
        writer.write(b"a")
        await asyncio.sleep(0.02)

    assert answers(closed.result()) == [(408, "request-timeout")]


@pytest.mark.parametrize("path", [b"/page", b"/stream"])
@pytest.mark.parametrize("ending", [b"", b"Connection: close\r\n"])
async def test_who_does_not_read_is_dropped(served: Served, path: bytes, ending: bytes) -> None:
    """Whether the app still writes, has written all, or has the connection closed after it."""
    for _ in range(5):
        await served.ask_and_not_read(b"GET " + path + b" HTTP/1.1\r\n" + HOST + ending + b"\r\n")
    await served.until_held(5, 5)
    await served.until_held(0, 0)


@pytest.mark.parametrize("path", [b"/page", b"/stream"])
async def test_who_reads_gets_it_all(served: Served, path: bytes) -> None:
    """A reader that takes what comes, with pauses, is not dropped."""
    reader, writer = await served.connect()
    writer.write(b"GET " + path + b" HTTP/1.1\r\n" + HOST + b"Connection: close\r\n\r\n")
    got = 0
    async with asyncio.timeout(LONG * 2):
        while piece := await reader.read(1 << 18):
            got += len(piece)
            await asyncio.sleep(0.03)

    assert got > PAGE


async def test_what_waits_for_readers_is_bounded(app: FastAPI) -> None:
    """Beyond the bound of all that waits, who does not read for longest is dropped at once."""
    policy = ConnectionPolicy(most_unsent=3 * PAGE)
    async with serving(app, policy) as served:
        for _ in range(12):
            await served.ask_and_not_read(b"GET /page HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await served.say(GET + b"Connection: close\r\n\r\n")).startswith(b"HTTP/1.1 200")
        await served.until_held(1, 8)


async def test_connections_are_bounded(app: FastAPI, caplog: pytest.LogCaptureFixture) -> None:
    """The longest idle one makes room for the next, which is served; the log says it once."""
    async with serving(app, replace(ConnectionPolicy(), most_connections=10)) as served:
        silent = [await served.connect() for _ in range(50)]
        for _ in range(5):
            got = await served.say(GET + b"Connection: close\r\n\r\n")
            assert got.startswith(b"HTTP/1.1 200")
        assert served.held <= 10
        assert await until_closed(silent[0][0]) == b""
    said = [record for record in caplog.records if "bound of 10" in record.getMessage()]
    assert len(said) == 1


async def test_where_none_is_idle_the_next_is_refused(app: FastAPI) -> None:
    """503 with Retry-After, where every connection is being answered."""
    async with serving(app, replace(QUICK, most_connections=3)) as served:
        busy = [await served.connect() for _ in range(3)]
        for _, writer in busy:
            writer.write(b"GET /slow HTTP/1.1\r\n" + HOST + b"\r\n")
        await asyncio.sleep(0.1)
        got = await served.say(GET + b"\r\n")
        first = await until_closed(busy[0][0])

    assert answers(got) == [(503, "overloaded")]
    assert b"retry-after: 1" in got.lower()
    assert answers(first) == [(200, '"slow"')]


async def test_a_websocket(served: Served) -> None:
    """A handshake that is whole becomes one; it is no request any more."""
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    got = await served.say(
        b"GET /socket HTTP/1.1\r\n" + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n" + key
        + b"\r\n"
    )  # fmt: skip

    assert got.startswith(b"HTTP/1.1 101")
    assert b"hello" in got


@pytest.mark.parametrize(
    ("files", "connections"),
    [(16, 1), (64, 32), (256, 192), (1024, 768), (65_536, 49_152), (-1, 49_152), (10**9, 49_152)],
)
def test_some_files_are_left(files: int, connections: int) -> None:
    """A quarter of them, at least 32: for the database, the log and the app."""
    assert connections_within(files) == connections


@pytest.fixture
def closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The door is closed, as in an overload."""
    monkeypatch.setattr(admission, "lines", {_Full()})


class _Full:
    is_full = True
    is_catching_up = False
    waiting = 0


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("connection", ["keep-alive", "close"])
async def test_a_refusal_at_the_door_keeps_the_connection(served: Served, connection: str) -> None:
    """What cannot be answered in time gets 503 in its turn; HEAD without a body, health its own."""
    lines = f"Host: x\r\nConnection: {connection}\r\n"
    got = await served.say(
        b"GET /size HTTP/1.1\r\nHost: x\r\nX-Request-ID: mine\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n",
        b"POST /size HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nab",
        f"GET /size HTTP/1.1\r\n{lines}\r\n".encode(),
    )
    assert [status for status, _ in answers(got)] == [503, 200, 503, 503]
    assert got.count(b"x-request-id: mine\r\n") == 1
    head = await served.say(b"HEAD /size HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert head.endswith(b"\r\n\r\n")


AT_THE_DOOR = {
    "a head": (GET + b"\r\n", [503]),
    "a head of a page's": (GET + b"Origin: https://front.example\r\n\r\n", [503]),
    "a body with it": (LENGTH + b"2\r\n\r\nab", [503]),
    "two requests": ((GET + b"\r\n") * 2, [503, 503]),
    "chunks": (CHUNKED + b"1\r\na\r\n0\r\n\r\n", [503]),
    "half a head": (GET, [408]),
    "two lengths": (LENGTH + b"1\r\nContent-Length: 1\r\n\r\na", [400]),
    "two ends": (GET + b"X: a\r\n\n\r\n", [400]),
}


@pytest.mark.usefixtures("closed")
@pytest.mark.parametrize("name", AT_THE_DOOR)
async def test_what_comes_to_a_closed_door(served: Served, name: str) -> None:
    """As many answers as requests, whatever framed them; what frames none is told so."""
    sent, statuses = AT_THE_DOOR[name]
    assert [status for status, _ in answers(await served.say(sent))] == statuses


async def test_the_rest_of_a_refused_body_is_no_request(
    served: Served, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A body that comes after the refusal is dropped, and the next request answered."""
    inner = GET + b"\r\n"
    reader, writer = await served.connect()
    with monkeypatch.context() as patch:
        patch.setattr(admission, "lines", {_Full()})
        writer.write(LENGTH + b"%d\r\n\r\n" % len(inner) + inner[:9])
        refused = await reader.readuntil(b"\r\n\r\n")
        refused += await reader.readuntil(b"}")
    writer.write(inner[9:])
    await asyncio.sleep(0.05)
    writer.write(GET + b"Connection: close\r\n\r\n")
    assert [status for status, _ in answers(refused + await until_closed(reader))] == [503, 200]
