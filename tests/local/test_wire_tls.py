"""TLS at the wire: declined, ended with a certificate of its own, or passed through unread."""

import asyncio
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import asyncpg
import psycopg
import pytest

from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError
from neonkit.local import Certificate, LocalServer, Refusal, WireProxy
from support.needed import need, need_openssl


@pytest.fixture(scope="module")
async def server(
    anyio_backend: str,  # noqa: ARG001  # asking for it makes anyio run this
    tmp_path_factory: pytest.TempPathFactory,
) -> AsyncIterator[LocalServer]:
    """A server without TLS."""
    folder = tmp_path_factory.mktemp("tls")
    async with await LocalServer.start(folder, is_durable=False) as server:
        yield server


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate, made now."""
    need_openssl()
    return Certificate.make(tmp_path_factory.mktemp("certificate"))


@pytest.fixture
async def secure(server: LocalServer, certificate: Certificate) -> AsyncIterator[WireProxy]:
    """A wire that ends TLS."""
    async with WireProxy.start(Dsn.parse(server.url), tls=certificate.context()) as wire:
        yield wire


def _verified(dsn: Dsn, certificate: Certificate) -> Dsn:
    parameters = {"sslmode": "verify-full", "sslrootcert": str(certificate.file)}
    return dsn.replace(parameters={"channel_binding": "disable", **parameters})


async def _use_both_drivers(dsn: Dsn) -> None:
    connection = await asyncpg.connect(**dsn.for_asyncpg())
    assert await connection.fetchval("SELECT repeat('x', 1000000)") == "x" * 1000000
    await connection.close()
    async with await psycopg.AsyncConnection.connect(dsn.for_libpq()) as connection:
        assert connection.pgconn.ssl_in_use
        await connection.execute("SELECT 1")


def _psql(dsn: Dsn, *arguments: str) -> str:
    command = ["psql", "-XAt", dsn.for_libpq(), *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


async def test_it_ends_at_the_wire(secure: WireProxy, certificate: Certificate) -> None:
    """`require` and `verify-full` work on both drivers, and everything is counted."""
    assert secure.dsn.sslmode == "require"
    for dsn in (secure.dsn, _verified(secure.dsn, certificate)):
        with secure.counting() as trips:
            await _use_both_drivers(dsn)
        assert trips.statements[-2:] == ["SELECT 1", "COMMIT"]
        assert trips.connecting == 2 * 6


async def test_psql_through_it(secure: WireProxy, certificate: Certificate) -> None:
    """With psql too it is encrypted, verified, and counted."""
    need("psql", "apt-get install postgresql")
    dsn = _verified(secure.dsn, certificate)
    with secure.counting() as trips:
        said = await asyncio.to_thread(_psql, dsn, "-c", "\\conninfo", "-c", "SELECT 1")
    assert "TLS" in said
    assert "SELECT 1" in trips.statements


async def test_it_is_told_apart_from_another_certificate(secure: WireProxy, tmp_path: Path) -> None:
    """A client that trusts another one's certificate does not connect."""
    other = Certificate.make(tmp_path)
    with pytest.raises(psycopg.OperationalError, match="certificate verify failed"):
        await psycopg.AsyncConnection.connect(_verified(secure.dsn, other).for_libpq())
    with pytest.raises(ssl.SSLCertVerificationError):
        await asyncpg.connect(**_verified(secure.dsn, other).for_asyncpg())


async def test_words_inside_of_tls(secure: WireProxy) -> None:
    """A client is refused, suspended and cut inside of TLS as it is without."""
    connection = await asyncpg.connect(**secure.dsn.for_asyncpg())
    secure.cut_at("statement")
    with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionError)):
        await connection.execute("SELECT 1")
    secure.refuse(times=1)
    with pytest.raises(asyncpg.InternalServerError, match=Refusal.UNREACHABLE):
        await asyncpg.connect(**secure.dsn.for_asyncpg())
    async with await psycopg.AsyncConnection.connect(secure.url) as connection:
        secure.suspend(wake_seconds=0.1)
        with pytest.raises(psycopg.errors.AdminShutdown):
            await connection.execute("SELECT 1")


async def test_to_the_server(secure: WireProxy) -> None:
    """A target that needs TLS gets it, while clients of the wire go without."""
    async with WireProxy.start(secure.dsn) as wire:
        connection = await asyncpg.connect(**wire.dsn.for_asyncpg(), statement_cache_size=0)
        assert await connection.fetchval("SELECT 1") == 1
        await connection.close()
        assert wire.trips == secure.trips == 2


async def test_it_is_declined(server: LocalServer) -> None:
    """Without a certificate the wire says no, and a client that prefers TLS goes on without."""
    async with WireProxy.start(Dsn.parse(server.url)) as wire:
        preferred = wire.dsn.replace(parameters={"sslmode": "prefer"})
        async with await psycopg.AsyncConnection.connect(preferred.for_libpq()) as connection:
            assert not connection.pgconn.ssl_in_use
        with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
            await psycopg.AsyncConnection.connect(
                wire.dsn.replace(parameters={"sslmode": "require"}).for_libpq()
            )


async def test_it_passes_through(secure: WireProxy, certificate: Certificate) -> None:
    """The server's own certificate reaches the client; inside nothing is read or counted."""
    need("psql", "apt-get install postgresql")
    target = _verified(secure.dsn, certificate)
    async with WireProxy.start(target, tls="pass") as wire:
        assert wire.dsn.parameters == target.parameters
        with wire.counting() as outside, secure.counting() as inside:
            await _use_both_drivers(wire.dsn)
            await asyncio.to_thread(_psql, wire.dsn, "-c", "SELECT 2")
        assert inside.statements[-1] == "SELECT 2"
        assert (outside.count, outside.connecting) == (0, 3 * 2)


async def test_what_a_wire_does_to_what_it_cannot_read(secure: WireProxy) -> None:
    """It delays, holds and ends what passes through, without a word."""
    async with WireProxy.start(secure.dsn, tls="pass") as wire:
        connection = await asyncpg.connect(**wire.dsn.for_asyncpg(), statement_cache_size=0)
        wire.slice_bytes = 1
        wire.freeze()
        asking = asyncio.create_task(connection.fetchval("SELECT 'late'"))
        done, _ = await asyncio.wait({asking}, timeout=0.2)
        assert not done
        wire.thaw()
        assert await asking == "late"

        wire.suspend(wake_seconds=None)
        with pytest.raises((asyncpg.ConnectionDoesNotExistError, ConnectionError)):
            await connection.execute("SELECT 1")
        with pytest.raises((asyncpg.PostgresError, OSError)):
            await asyncpg.connect(**wire.dsn.for_asyncpg())


async def test_nothing_to_pass_through(server: LocalServer) -> None:
    """Where the server has no TLS it says so itself, and what goes without is counted."""
    async with WireProxy.start(Dsn.parse(server.url), tls="pass") as wire:
        preferred = wire.dsn.replace(parameters={"sslmode": "prefer"})
        async with await psycopg.AsyncConnection.connect(preferred.for_libpq()) as connection:
            await connection.execute("SELECT 1")
        assert wire.trips == 3
        with pytest.raises(psycopg.OperationalError, match="does not support SSL"):
            await psycopg.AsyncConnection.connect(
                wire.dsn.replace(parameters={"sslmode": "require"}).for_libpq()
            )


def test_a_key_is_nobody_elses(certificate: Certificate) -> None:
    """The private key's file is its owner's alone."""
    assert certificate.key.stat().st_mode & 0o777 == 0o600


def test_without_the_program(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Where `openssl` is missing, it says what to install."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ConfigurationError, match="package openssl"):
        Certificate.make(tmp_path)


NEON = "ep-cool-name-123456.eu-central-1.aws.neon.tech"
CONSOLE = {"sslmode": "require", "channel_binding": "require"}


def _certificate_for(host: str, folder: Path) -> Certificate:
    """A certificate that signs itself, as somebody in between would make it."""
    made = Certificate(folder / "certificate.pem", folder / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-newkey", "ec"),
            *("-pkeyopt", "ec_paramgen_curve:prime256v1", "-subj", f"/CN={host}"),
            *("-addext", f"subjectAltName=DNS:{host}", "-keyout", made.key, "-out", made.file),
        ],
        check=True,
        capture_output=True,
    )
    return made


@pytest.fixture
def neon_is_here(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever answers for DNS has taken Neon's name over: it is this machine."""
    real = socket.getaddrinfo

    def resolve(host: object, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  # as socket's own
        return real("127.0.0.1" if host == NEON else host, *arguments, **options)  # type: ignore[arg-type]  # as above

    monkeypatch.setattr(socket, "getaddrinfo", resolve)


@pytest.mark.usefixtures("neon_is_here")
async def test_somebody_in_between_who_makes_a_certificate(
    server: LocalServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A URL of Neon's console connects on asyncpg only where the certificate holds for the host."""
    (tmp_path / "other").mkdir()
    made = _certificate_for(NEON, tmp_path)
    other = _certificate_for(NEON.replace("cool", "evil"), tmp_path / "other")
    real = Dsn.parse(server.url)

    async def say(wire: WireProxy, **parameters: str) -> object:
        given = {**CONSOLE, **parameters}
        dsn = wire.dsn.replace(host=NEON, parameters=given)
        connection = await asyncpg.connect(**dsn.for_asyncpg(), statement_cache_size=0)
        try:
            return await connection.fetchval("SELECT 1")
        finally:
            await connection.close()

    async with WireProxy.start(real, tls=made.context()) as wire:
        with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
            await say(wire)
        assert await say(wire, sslrootcert=str(made.file)) == 1
        with pytest.raises(ssl.SSLCertVerificationError):
            await say(wire, sslrootcert=str(other.file))
        monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
        assert await say(wire) == 1
    async with WireProxy.start(real, tls=other.context()) as wire:
        with pytest.raises(ssl.SSLCertVerificationError, match="Hostname mismatch"):
            await say(wire, sslrootcert=str(other.file))
