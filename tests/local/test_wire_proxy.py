"""The wire counts: against what two drivers and psql themselves say they sent and waited for."""

import asyncio
import io
import os
import re
import shutil
import subprocess
import threading
from collections.abc import AsyncIterator
from pathlib import Path
from select import select

import asyncpg
import psycopg
import pytest
from psycopg.pq.abc import PGconn, PGresult

from neonkit.dsn import Dsn
from neonkit.local import LocalServer, WireProxy, find_binaries


@pytest.fixture(scope="module")
async def server(
    anyio_backend: str,  # noqa: ARG001  # asking for it makes anyio run this
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[LocalServer]:
    """A server for this module."""
    folder = tmp_path_factory.mktemp("wire")
    async with await LocalServer.start(folder, is_durable=False) as server:
        yield server


@pytest.fixture
async def wire(server: LocalServer) -> AsyncIterator[WireProxy]:
    """A wire to it."""
    async with WireProxy.start(Dsn.parse(server.url)) as wire:
        yield wire


async def _asyncpg(wire: WireProxy) -> asyncpg.Connection:
    return await asyncpg.connect(**wire.dsn.for_asyncpg(), statement_cache_size=0)


def _waits(trace: str) -> int:
    """Recount a trace of libpq's: how often it went from sending to receiving."""
    turns = re.findall(r"^([FB])\t", trace, re.MULTILINE)
    sent = [line for line in trace.splitlines() if line.startswith(("F", "B"))]
    assert len(turns) == len(sent)
    # Terminate is sent and not waited for
    directions = "".join(line[0] for line in sent if "\tTerminate" not in line)
    return len(re.findall("F+B", directions))


async def test_what_a_client_of_asyncpg_waits_for(wire: WireProxy) -> None:
    """Statement, prepare, BEGIN and COMMIT are one trip each; texts are listed, values are not."""
    connection = await _asyncpg(wire)
    with wire.counting() as trips:
        await connection.execute("SELECT 1")
        assert await connection.fetchval("SELECT $1::int", 987654) == 987654
        async with connection.transaction():
            await connection.execute("SELECT 2")
    await connection.close()

    assert trips.count == 6
    assert trips.statements == ["SELECT 1", "SELECT $1::int", "BEGIN;", "SELECT 2", "COMMIT;"]
    assert "2. session 1: prepare SELECT $1::int" in str(trips)
    assert "987654" not in repr(trips)
    assert trips.connecting == 0


async def test_named_statements_are_resolved(wire: WireProxy) -> None:
    """A statement that was prepared long ago is listed with its text each time that it runs."""
    connection = await _asyncpg(wire)
    first = await connection.prepare("SELECT 'one', $1::int", name="one")
    second = await connection.prepare("SELECT 'two', $1::int", name="two")
    with wire.counting() as trips:
        for statement in (first, second, first):
            await statement.fetch(5)
    await connection.close()

    assert trips.count == 3
    assert [text[8:11] for text in trips.statements] == ["one", "two", "one"]


async def test_opening_is_counted_apart(wire: WireProxy) -> None:
    """TCP, the start-up packet and both steps of SCRAM are four; an SSLRequest is one more."""
    with wire.counting() as trips:
        await (await _asyncpg(wire)).close()
    assert (trips.connecting, trips.count) == (4, 0)

    preferred = wire.dsn.replace(parameters={"sslmode": "prefer"})
    with wire.counting() as trips:
        await (await asyncpg.connect(**preferred.for_asyncpg())).close()
    assert (trips.connecting, trips.count) == (5, 0)


def _work(connection: psycopg.Connection) -> None:
    connection.execute("SELECT 1")
    connection.execute("SELECT %s", [1], prepare=True)
    connection.execute("SELECT %s", [2], prepare=True)
    connection.commit()
    with pytest.raises(psycopg.errors.DivisionByZero):
        connection.execute("SELECT 1 / %s", [0])
    connection.rollback()
    with connection.transaction():
        connection.execute("CREATE TEMP TABLE copied (n int)")
        with connection.cursor().copy("COPY copied FROM STDIN") as copy:
            copy.write_row([1])
        with connection.cursor().copy("COPY copied TO STDOUT") as copy:
            assert list(copy.rows()) == [("1",)]
        with connection.cursor("portal") as cursor:
            cursor.execute("SELECT generate_series(1, %s)", [5])
            assert len(cursor.fetchmany(2)) == 2
    with connection.pipeline():
        for number in range(5):
            connection.execute("SELECT %s", [number])
    connection.commit()


async def test_as_libpq_traces_it(wire: WireProxy, tmp_path: Path) -> None:
    """The count equals what a trace of libpq's says: errors, COPY, cursors, prepared, pipelines."""
    path = tmp_path / "trace"

    def run() -> None:
        with psycopg.connect(wire.url) as connection, path.open("w") as file:
            connection.pgconn.trace(file.fileno())
            connection.pgconn.set_trace_flags(psycopg.pq.Trace.SUPPRESS_TIMESTAMPS)
            _work(connection)
            connection.pgconn.untrace()

    await asyncio.to_thread(run)

    assert wire.trips == _waits(path.read_text())


def _result(raw: PGconn) -> PGresult | None:
    """The next result; libpq's own waiting would hold the interpreter, and with it the wire."""
    while raw.flush():
        select([], [raw.socket], [])
    while raw.is_busy():
        select([raw.socket], [], [])
        raw.consume_input()
    return raw.get_result()


async def test_a_pipeline_is_one(wire: WireProxy) -> None:
    """However many statements and Syncs are sent before an answer is read: one trip."""

    def run() -> None:
        with psycopg.connect(wire.url, autocommit=True) as connection:
            raw = connection.pgconn
            raw.nonblocking = 1
            raw.enter_pipeline_mode()
            wire.delay = 0.5  # longer than the loop takes to send them on a busy machine
            with wire.counting() as trips:
                for number in range(50):
                    raw.send_query_params(b"SELECT $1", [str(number).encode()])
                    raw.pipeline_sync()
                ends = 0
                while ends < 50:
                    result = _result(raw)
                    ends += bool(result and result.status == psycopg.pq.ExecStatus.PIPELINE_SYNC)
            assert (trips.count, len(trips.statements)) == (1, 50)
            raw.exit_pipeline_mode()

    await asyncio.to_thread(run)


async def test_an_error_in_a_pipeline(wire: WireProxy) -> None:
    """The pipeline that an error ends is one trip all the same."""

    def fail(connection: psycopg.Connection) -> None:
        with connection.pipeline():
            connection.execute("SELECT 1 / %s", [0])
            connection.execute("SELECT %s", [1])

    def run() -> None:
        with psycopg.connect(wire.url, autocommit=True) as connection, wire.counting() as trips:
            for number in range(1, 4):
                with pytest.raises(psycopg.errors.DivisionByZero):
                    fail(connection)
                assert trips.count == number

    await asyncio.to_thread(run)


async def test_psql(wire: WireProxy) -> None:
    """Each statement of psql's simple protocol is one trip, a whole script in one query too."""
    psql = shutil.which("psql") or find_binaries().folder / "psql"

    def run(*arguments: str) -> str:
        command = [psql, "-XAt", wire.url, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout

    with wire.counting() as trips:
        assert await asyncio.to_thread(run, "-c", "SELECT 1", "-c", "SELECT 2; SELECT 3") != ""
    assert trips.statements == ["SELECT 1", "SELECT 2; SELECT 3"]
    assert trips.count == 2


async def test_the_same_statements_as_the_server_logs(wire: WireProxy) -> None:
    """In two hundred statements on ten connections, no trip is lost or made up."""

    async def work(number: int) -> None:
        connection = await _asyncpg(wire)
        for turn in range(20):
            await connection.execute(f"SELECT {number}, {turn}")
        await connection.close()

    with wire.counting() as trips:
        await asyncio.gather(*(work(number) for number in range(10)))

    assert trips.count == wire.trips == 200
    assert sorted(trips.by_session.values()) == [20] * 10
    assert sorted(trips.statements) == sorted(
        f"SELECT {number}, {turn}" for number in range(10) for turn in range(20)
    )


async def test_counting_ends_with_its_block(wire: WireProxy) -> None:
    """What happens after the block, or beside it on another wire, is not in it."""
    connection = await _asyncpg(wire)
    with wire.counting() as outer:
        with wire.counting() as inner:
            await connection.execute("SELECT 1")
        await connection.execute("SELECT 2")
    await connection.execute("SELECT 3")
    await connection.close()

    assert (inner.count, outer.count, wire.trips) == (1, 2, 3)


async def test_a_statement_that_failed_to_prepare_keeps_the_old_text(wire: WireProxy) -> None:
    """A name whose second Parse is refused still means its first statement."""

    def run() -> None:
        with psycopg.connect(wire.url, autocommit=True) as connection:
            raw = connection.pgconn
            raw.prepare(b"name", b"SELECT 'kept'")
            assert (
                raw.prepare(b"name", b"SELECT 'refused'").status
                == psycopg.pq.ExecStatus.FATAL_ERROR
            )
            with wire.counting() as trips:
                raw.exec_prepared(b"name", [])
            assert trips.statements == ["SELECT 'kept'"]

    await asyncio.to_thread(run)


async def test_a_large_result_and_copy_in_bounded_memory(wire: WireProxy) -> None:
    """A client that does not read holds the server back: the wire keeps a few megabytes at most."""
    connection = await _asyncpg(wire)
    text = await connection.fetchval("SELECT repeat('x', 50_000_000)")
    assert text == "x" * 50_000_000
    del text
    received = 0

    async def slowly(data: bytes) -> None:
        nonlocal received
        received += len(data)
        if received < 400_000:
            await asyncio.sleep(0.05)

    before = _resident()
    peak = 0

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, _resident() - before)
            await asyncio.sleep(0.005)

    watching = asyncio.create_task(watch())
    await connection.copy_from_query(
        "SELECT repeat('x', 99_999) FROM generate_series(1, 1000)", output=slowly
    )
    watching.cancel()
    assert received == 100_000_000
    assert peak < 40_000_000

    await connection.execute("CREATE TEMP TABLE copied (line text)")
    lines = io.BytesIO((b"y" * 999 + b"\n") * 20_000)
    with wire.counting() as trips:
        await connection.copy_to_table("copied", source=lines, format="text")
    assert trips.count == 2
    assert await connection.fetchval("SELECT sum(length(line)) FROM copied") == 999 * 20_000
    await connection.close()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def test_a_hundred_at_once_and_nothing_left(server: LocalServer) -> None:
    """A hundred sessions work together; after the block no thread and no socket is left."""
    sockets, threads = _sockets(), threading.active_count()
    async with WireProxy.start(Dsn.parse(server.url)) as wire:
        connections = await asyncio.gather(*(_asyncpg(wire) for _ in range(100)))
        answers = await asyncio.gather(
            *(connection.fetchval(f"SELECT {at}") for at, connection in enumerate(connections))
        )
        assert answers == list(range(100))
        for connection in connections[:50]:
            await connection.close()
    for connection in connections[50:]:
        connection.terminate()
    await asyncio.sleep(0.05)

    assert (_sockets(), threading.active_count()) == (sockets, threads)


def _sockets() -> int:
    links = [os.path.realpath(path) for path in Path("/proc/self/fd").iterdir()]
    return sum("socket:" in link for link in links)


async def test_cancelling_goes_through(wire: WireProxy) -> None:
    """A CancelRequest reaches the server, which ends the statement."""
    connection = await _asyncpg(wire)
    sleeping = asyncio.create_task(connection.execute("SELECT pg_sleep(60)"))
    await asyncio.sleep(0.1)
    sleeping.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sleeping

    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()
