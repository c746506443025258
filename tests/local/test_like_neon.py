"""A wire that plays Neon: its two addresses, its rules at login, its sleep."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from typing import Any

import asyncpg
import psycopg
import pytest
from sqlalchemy.exc import DBAPIError

from neonkit import create_engine
from neonkit.db import FaultKind, fault_of
from neonkit.dsn import Dsn
from neonkit.local import Certificate, LocalServer, WireProxy
from support.needed import need_openssl
from support.poolers import need_pgbouncer

LOST = (asyncpg.ConnectionDoesNotExistError, ConnectionError)


@pytest.fixture(scope="module")
async def server(
    anyio_backend: str,  # noqa: ARG001  # asking for it makes anyio run this
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[LocalServer]:
    """A server with a second role."""
    folder = tmp_path_factory.mktemp("neon")
    async with await LocalServer.start(folder, is_durable=False) as server:
        connection = await asyncpg.connect(**Dsn.parse(server.url).for_asyncpg())
        await connection.execute("CREATE ROLE ada LOGIN PASSWORD 'difference engine'")
        await connection.close()
        yield server


@pytest.fixture
async def neon(server: LocalServer) -> AsyncIterator[WireProxy]:
    """Neon in front of it, with a pooler."""
    need_pgbouncer()
    async with WireProxy.like_neon(Dsn.parse(server.url)) as neon:
        yield neon


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate, made now."""
    need_openssl()
    return Certificate.make(tmp_path_factory.mktemp("certificate"))


async def _connect(dsn: Dsn, **settings: str) -> asyncpg.Connection:
    keywords: dict[str, Any] = dsn.for_asyncpg() | {"server_settings": settings}
    return await asyncpg.connect(**keywords, statement_cache_size=0)


async def _show(dsn: Dsn, name: str, **settings: str) -> object:
    connection = await _connect(dsn, **settings)
    try:
        return await connection.fetchval("SELECT current_setting($1)", name)
    finally:
        await connection.close()


async def _is_pooled(dsn: Dsn) -> bool:
    connection = await _connect(dsn)
    pid = await connection.fetchval("SELECT pg_backend_pid()")
    await connection.close()
    return bool(pid != connection.get_server_pid())


async def test_a_direct_and_a_pooled_address(neon: WireProxy) -> None:
    """One leads to the server, the other through a pooler that keeps prepared statements."""
    assert neon.has_pooler
    assert not await _is_pooled(neon.dsn)
    assert await _is_pooled(neon.pooled_dsn)
    first, second = [await asyncpg.connect(**neon.pooled_dsn.for_asyncpg()) for _ in range(2)]
    for turn in range(3):
        async with first.transaction():  # keeps its backend, so that the second gets another
            assert await second.fetchval("SELECT $1::int", turn) == turn
            assert await first.fetchval("SELECT $1::int", turn) == turn
    await first.close()
    await second.close()


async def test_the_pooler_lets_every_role_in(neon: WireProxy) -> None:
    """A role logs in through it with its own password, and is itself."""
    ada = neon.pooled_dsn.replace(user="ada", password="difference engine")
    connection = await _connect(ada)
    assert await connection.fetchval("SELECT current_user") == "ada"
    await connection.close()


@pytest.mark.parametrize("name", ["statement_timeout", "search_path", "jit"])
async def test_what_is_dropped_at_login(neon: WireProxy, name: str) -> None:
    """Start-up parameters are dropped in silence, on both addresses."""
    usual = await _show(neon.dsn, name)
    given = {"statement_timeout": "7s", "search_path": "elsewhere", "jit": "off"}[name]
    for dsn in (neon.dsn, neon.pooled_dsn):
        assert await _show(dsn, name, **{name: given}) == usual != given


async def test_what_is_kept_at_login(neon: WireProxy) -> None:
    """`application_name` and `options` arrive, without the words that are Neon's own."""
    for dsn in (neon.dsn, neon.pooled_dsn):
        assert await _show(dsn, "application_name", application_name="notes") == "notes"
        options = "endpoint=ep-calm-sea-1 neon_endpoint_type:read_write -c timezone=Asia/Tokyo"
        assert await _show(dsn, "timezone", options=options) == "Asia/Tokyo"
    assert await _show(neon.dsn, "statement_timeout", options="-c statement_timeout=7s") == "7s"
    compatible = {"options": "neon_proxy_params_compat:true", "statement_timeout": "7s"}
    assert await _show(neon.dsn, "statement_timeout", **compatible) == "7s"


async def test_what_the_pooler_refuses(neon: WireProxy) -> None:
    """Other settings in `options` are refused by name, with XX000 on both drivers' roads."""
    text = "unsupported startup parameter in options: statement_timeout"
    with pytest.raises(asyncpg.InternalServerError, match=text):
        await _connect(neon.pooled_dsn, options="-c statement_timeout=7s")
    pooled = neon.pooled_dsn.with_options({"statement_timeout": "7s"})
    with pytest.raises(psycopg.OperationalError, match=f"ERROR:  {text}"):
        await psycopg.AsyncConnection.connect(pooled.for_libpq())


@pytest.mark.parametrize(
    ("wrong", "text"),
    [
        ({"password": "x"}, "password authentication failed for user 'postgres'"),
        ({"user": "nobody"}, "password authentication failed for user 'nobody'"),
        ({"database": "missing"}, 'database "missing" does not exist'),
    ],
)
async def test_a_login_that_fails(neon: WireProxy, wrong: dict[str, str], text: str) -> None:
    """Whatever the server or the pooler says, a login fails with XX000 and in Neon's words."""
    for dsn in (neon.dsn.replace(**wrong), neon.pooled_dsn.replace(**wrong)):
        with pytest.raises(asyncpg.InternalServerError, match=text) as refused:
            await _connect(dsn)
        assert vars(refused.value)["severity"] == "ERROR"
    engine = create_engine(neon.dsn.replace(**wrong))
    with pytest.raises(DBAPIError, match=text) as failed:
        await engine.connect()
    fault = fault_of(failed.value)
    assert fault
    assert fault.kind is FaultKind.MISCONFIGURED
    await engine.dispose()


async def test_tls_is_compulsory(server: LocalServer, certificate: Certificate) -> None:
    """Where it has a certificate, a client without TLS is refused, on both addresses."""
    async with WireProxy.like_neon(Dsn.parse(server.url), tls=certificate.context()) as neon:
        for dsn in (neon.dsn, neon.pooled_dsn):
            assert dsn.sslmode == "require"
            await (await _connect(dsn)).close()
            plain = dsn.replace(parameters={"sslmode": "disable"})
            with pytest.raises(asyncpg.InternalServerError, match="connection is insecure"):
                await _connect(plain)


async def test_it_falls_asleep_as_neon_does(neon: WireProxy) -> None:
    """Who is connected directly hears 57P01, the pooler's clients nothing; both wake it."""
    direct = await psycopg.AsyncConnection.connect(neon.url)
    pooled = await psycopg.AsyncConnection.connect(neon.pooled_url)
    neon.suspend(wake_seconds=0.3)
    with pytest.raises(psycopg.errors.AdminShutdown):
        await direct.execute("SELECT 1")
    with pytest.raises(psycopg.OperationalError, match="closed the connection") as lost:
        await pooled.execute("SELECT 1")
    assert lost.value.sqlstate is None
    await direct.close()
    await pooled.close()

    started = time.monotonic()
    both = await asyncio.gather(_connect(neon.dsn), _connect(neon.pooled_dsn))
    assert 0.3 <= time.monotonic() - started < 5
    for connection in both:
        await connection.close()


async def test_idle_it_falls_asleep_by_itself(neon: WireProxy) -> None:
    """An open connection that says nothing does not keep it awake; the next one waits for it."""
    connection = await _connect(neon.dsn)
    neon.suspend_when_idle(0.3, wake_seconds=0.2)
    async with asyncio.timeout(10):
        while not connection.is_closed():  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.02)
    started = time.monotonic()
    await (await _connect(neon.pooled_dsn)).close()
    assert time.monotonic() - started >= 0.2
    neon.suspend_when_idle(None)
    connection = await _connect(neon.dsn)
    await asyncio.sleep(0.6)
    assert await connection.fetchval("SELECT 1") == 1
    await connection.close()


async def test_what_keeps_it_awake(neon: WireProxy) -> None:
    """Statements one after another do, a long one does, and a transaction that is left open."""
    connection = await _connect(neon.dsn)
    pooled = await _connect(neon.pooled_dsn)
    neon.suspend_when_idle(0.5)
    for _ in range(6):
        await asyncio.sleep(0.15)
        await pooled.execute("SELECT 1")
    await connection.execute("SELECT pg_sleep(1.1)")
    await connection.execute("BEGIN")
    await asyncio.sleep(1.1)
    await connection.execute("COMMIT")
    assert await pooled.fetchval("SELECT 1") == 1
    neon.suspend_when_idle(None)
    await connection.close()
    await pooled.close()


async def test_without_a_pooler(server: LocalServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no PgBouncer is installed, both addresses lead to the server, and it is told."""
    monkeypatch.setenv("PATH", "/nowhere")
    async with WireProxy.like_neon(Dsn.parse(server.url)) as neon:
        assert not neon.has_pooler
        assert neon.pooled_dsn.port != neon.dsn.port
        assert not await _is_pooled(neon.pooled_dsn)
        pooled = await _connect(neon.pooled_dsn)
        neon.suspend()
        with pytest.raises(LOST):
            await pooled.execute("SELECT 1")
        with suppress(*LOST):
            await pooled.close()
