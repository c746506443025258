"""The wire does what it is told: each fault, as a client sees it and as the server sees it."""

import asyncio
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import psycopg
import pytest

from neonkit.dsn import Dsn
from neonkit.local import LocalServer, Refusal, WireProxy
from neonkit.local._conversation import Moment
from neonkit.local._network_faults import When

LOST = (asyncpg.ConnectionDoesNotExistError, ConnectionError)


@pytest.fixture(scope="module")
async def server(
    anyio_backend: str,  # noqa: ARG001  # asking for it makes anyio run this
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[LocalServer]:
    """A server with a table."""
    folder = tmp_path_factory.mktemp("wire")
    async with await LocalServer.start(folder, is_durable=False) as server:
        connection = await _connect(server)
        await connection.execute("CREATE TABLE row (n text)")
        await connection.close()
        yield server


@pytest.fixture
async def wire(server: LocalServer) -> AsyncIterator[WireProxy]:
    """A wire to it."""
    async with WireProxy.start(Dsn.parse(server.url)) as wire:
        yield wire


async def _connect(target: WireProxy | LocalServer) -> asyncpg.Connection:
    return await asyncpg.connect(**Dsn.parse(target.url).for_asyncpg(), statement_cache_size=0)


async def _has(server: LocalServer, value: str) -> bool:
    """Whether the row is committed, after every other session has ended."""
    connection = await _connect(server)
    others = "SELECT count(*) FROM pg_stat_activity WHERE backend_type = 'client backend'"
    try:
        async with asyncio.timeout(10):
            while (await connection.fetchval(others) or 0) > 1:  # noqa: ASYNC110  # only SQL can say it
                await asyncio.sleep(0.01)
        found = await connection.fetchval("SELECT count(*) FROM row WHERE n = $1", value)
    finally:
        await connection.close()
    return bool(found)


@pytest.mark.parametrize("driver", ["asyncpg", "psycopg"])
@pytest.mark.parametrize("when", ["before", "after", "during"])
@pytest.mark.parametrize("moment", ["commit", "statement"])
async def test_a_cut_on_either_side_of_the_commit(
    server: LocalServer, wire: WireProxy, moment: Moment, when: When, driver: str
) -> None:
    """Before it nothing is written, after it and during it everything; the client cannot tell."""
    value = f"{moment} {when} {driver}"
    write = _by_asyncpg if driver == "asyncpg" else _by_psycopg
    wire.cut_at(moment, when=when)

    await write(wire, value, is_alone=moment == "statement")

    assert await _has(server, value) is (when != "before")


async def _by_asyncpg(wire: WireProxy, value: str, *, is_alone: bool) -> None:
    connection = await _connect(wire)
    insert = "INSERT INTO row VALUES ($1)"
    if is_alone:
        with pytest.raises(LOST):
            await connection.execute(insert, value)
    else:
        transaction = connection.transaction()
        await transaction.start()
        await connection.execute(insert, value)
        with pytest.raises(LOST):
            await transaction.commit()
    connection.terminate()


async def _by_psycopg(wire: WireProxy, value: str, *, is_alone: bool) -> None:
    connection = await psycopg.AsyncConnection.connect(wire.url, autocommit=is_alone)
    insert = "INSERT INTO row VALUES (%s)"
    if is_alone:
        with pytest.raises(psycopg.OperationalError):
            await connection.execute(insert, [value])
    else:
        await connection.execute(insert, [value])
        with pytest.raises(psycopg.OperationalError):
            await connection.commit()
    await connection.close()


async def test_a_cut_hits_once_and_only_its_moment(wire: WireProxy) -> None:
    """Statements inside of a transaction pass, the COMMIT is cut, the next connection works."""
    wire.cut_at("commit")
    connection = await _connect(wire)
    assert await connection.fetchval("SELECT 1") == 1
    with pytest.raises(LOST):
        await connection.execute("BEGIN; SELECT 2; /* done */ COMMIT")
    assert connection.is_closed()

    connection = await _connect(wire)
    async with connection.transaction():
        await connection.execute("SELECT 3")
    wire.cut_at("begin")
    with pytest.raises(LOST):
        await connection.execute("-- so\n begin")


async def test_a_cut_at_a_write_lets_reads_pass(wire: WireProxy, server: LocalServer) -> None:
    """Locks are no writes, and what is spared is torn no more."""
    connection = await _connect(wire)
    wire.cut_at("write")
    await connection.execute("SELECT 1 FROM row FOR NO KEY UPDATE")
    with pytest.raises(LOST):
        await connection.execute("WITH new AS (INSERT INTO row VALUES ('w') RETURNING n) SELECT n")
    assert not await _has(server, "w")

    connection = await _connect(wire)
    wire.cut_at("write")
    wire.spare()
    await connection.execute("INSERT INTO row VALUES ('spared')")
    await connection.close()
    assert await _has(server, "spared")
    assert wire.cuts == 1


@asynccontextmanager
async def _overheard(wire: WireProxy) -> AsyncIterator[tuple[Dsn, bytearray]]:
    """A port that leads to the wire, and what came back from there."""
    heard = bytearray()

    async def relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        from_wire, to_wire = await asyncio.open_connection("127.0.0.1", wire.dsn.port)

        async def ask() -> None:
            while data := await reader.read(1000):
                to_wire.write(data)

        asking = asyncio.create_task(ask())
        while data := await from_wire.read(1000):
            heard.extend(data)
            writer.write(data)
        asking.cancel()
        to_wire.close()
        writer.close()

    async with await asyncio.start_server(relay, "127.0.0.1", 0) as listener:
        yield wire.dsn.replace(port=listener.sockets[0].getsockname()[1]), heard


@pytest.mark.parametrize(
    ("when", "end"), [("after", rb"Z\x00{3}\x05I\Z"), ("during", rb"C\x00{3}.SEL?\Z")]
)
async def test_what_a_client_gets_of_the_answer(wire: WireProxy, when: When, end: bytes) -> None:
    """`after` it gets nothing of it, `during` it gets a message that breaks off."""
    async with _overheard(wire) as (dsn, heard):
        connection = await psycopg.AsyncConnection.connect(dsn.for_libpq(), autocommit=True)
        login = len(heard)
        wire.cut_at("statement", when=when)
        with pytest.raises(psycopg.OperationalError, match="closed the connection unexpectedly"):
            await connection.execute("SELECT 1")
        await connection.close()

    assert re.search(end, bytes(heard), re.DOTALL)
    assert (len(heard) == login) is (when == "after")


async def test_delay(wire: WireProxy) -> None:
    """One trip takes `delay` longer, a login four of them; a pipeline takes one."""
    wire.delay = 0.1
    started = time.monotonic()
    connection = await _connect(wire)
    assert time.monotonic() - started >= 0.4

    started = time.monotonic()
    await connection.execute("SELECT 1")
    assert 0.1 <= time.monotonic() - started < 0.2
    wire.delay = 0
    started = time.monotonic()
    await connection.execute("SELECT 1")
    assert time.monotonic() - started < 0.1
    await connection.close()


async def test_a_delay_does_not_slow_a_stream(wire: WireProxy) -> None:
    """The chunks of a large result are late together, not one after another."""
    connection = await _connect(wire)
    wire.delay = 0.1
    started = time.monotonic()
    assert len(await connection.fetchval("SELECT repeat('x', 10_000_000)") or "") == 10_000_000
    assert time.monotonic() - started < 5
    await connection.close()


async def test_frozen_and_thawed(wire: WireProxy) -> None:
    """Frozen, nothing comes and nothing ends, not even for who connects; thawed, it goes on."""
    connection = await _connect(wire)
    wire.freeze()
    asking = asyncio.create_task(connection.fetchval("SELECT 'late'"))
    arriving = asyncio.create_task(_connect(wire))
    done, _ = await asyncio.wait({asking, arriving}, timeout=0.3)
    assert not done
    assert not connection.is_closed()

    wire.thaw()
    assert await asking == "late"
    await (await arriving).close()
    await connection.close()


async def test_it_closes_while_it_is_frozen(server: LocalServer) -> None:
    """A test may end frozen: the wire closes all the same."""
    async with WireProxy.start(Dsn.parse(server.url)) as wire:
        connection = await _connect(wire)
        wire.freeze()
        asking = asyncio.create_task(connection.execute("SELECT 1"))
        await asyncio.sleep(0.05)
    with pytest.raises(LOST):
        await asking


async def test_byte_by_byte(wire: WireProxy) -> None:
    """Both drivers read what comes in single bytes, and it is counted the same."""
    wire.slice_bytes = 1
    connection = await _connect(wire)
    with wire.counting() as trips:
        assert await connection.fetchval("SELECT repeat('x', 300)") == "x" * 300
    assert trips.count == 2
    await connection.close()


@pytest.mark.parametrize("text", list(Refusal))
async def test_refused_as_neon_does(wire: WireProxy, text: Refusal) -> None:
    """A new connection gets Neon's words with XX000, whoever has one keeps it."""
    connection = await _connect(wire)
    wire.refuse(text)
    with pytest.raises(asyncpg.InternalServerError) as refused:
        await _connect(wire)
    assert (refused.value.sqlstate, str(refused.value)) == ("XX000", text)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()

    wire.admit()
    await (await _connect(wire)).close()


async def test_refused_so_many_times(wire: WireProxy) -> None:
    """`times` counts the connections that are refused."""
    wire.refuse(times=2)
    for _ in range(2):
        with pytest.raises(asyncpg.InternalServerError, match="compute node"):
            await _connect(wire)
    await (await _connect(wire)).close()


async def test_suspended(wire: WireProxy) -> None:
    """Open connections end with 57P01; those that come wait for one and the same waking."""
    async with await psycopg.AsyncConnection.connect(wire.url) as connection:
        await connection.execute("SELECT 1")
        wire.suspend(wake_seconds=0.4)
        with pytest.raises(psycopg.errors.AdminShutdown):
            await connection.execute("SELECT 1")

    started = time.monotonic()
    for connection in await asyncio.gather(_connect(wire), _connect(wire)):
        await connection.close()
    assert 0.4 <= time.monotonic() - started < 5
    started = time.monotonic()
    await (await _connect(wire)).close()
    assert time.monotonic() - started < 0.4


async def test_suspended_until_it_is_woken(wire: WireProxy) -> None:
    """Without a waking of its own it refuses, as Neon does when the compute does not come up."""
    wire.suspend(wake_seconds=None)
    with pytest.raises(asyncpg.InternalServerError, match="Couldn't connect to compute node"):
        await _connect(wire)
    wire.wake(after=0.2)
    await (await _connect(wire)).close()


async def test_cut_without_a_word(wire: WireProxy) -> None:
    """Every connection is closed; new ones work."""
    connection = await _connect(wire)
    wire.cut()
    with pytest.raises(LOST):
        await connection.execute("SELECT 1")
    await (await _connect(wire)).close()


async def test_a_server_that_is_not_there() -> None:
    """Behind the wire, a server that is down looks like Neon's compute that is down."""
    async with WireProxy.start(Dsn.parse("postgresql://ada:x@127.0.0.1:1/ada")) as wire:
        with pytest.raises(asyncpg.InternalServerError, match="Couldn't connect to compute node"):
            await _connect(wire)


async def test_what_is_not_postgresql(wire: WireProxy) -> None:
    """A client of another protocol is hung up on, and nobody else notices."""
    reader, writer = await asyncio.open_connection("127.0.0.1", wire.dsn.port)
    writer.write(b"GET / HTTP/1.1\r\n\r\n")
    assert await reader.read() == b""
    writer.close()
    await (await _connect(wire)).close()


async def test_a_stream_that_is_read_slowly_ends_when_the_client_goes(
    server: LocalServer, wire: WireProxy
) -> None:
    """A client that hangs up in the middle of a result takes its session on the server along."""
    connection = await _connect(wire)

    async def give_up(_data: bytes) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await connection.copy_from_query("SELECT generate_series(1, 10000000)", output=give_up)
    connection.terminate()

    assert not await _has(server, "nothing")
