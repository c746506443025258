"""One connection, step by step, so that a failure names the step: DNS, TCP, TLS, login."""

import asyncio
import socket
import ssl
import threading
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine

from neonkit.cli._doctor_checks import Check, ServerReport
from neonkit.db import (
    Driver,
    FaultKind,
    PoolPolicy,
    TimeoutPolicy,
    create_engine,
    fault_of,
    is_behind_pooler,
)
from neonkit.dsn import Dsn
from neonkit.errors import UrlError
from neonkit.local import open_tls

_STEP = 3.5  # seconds; three such steps and a login stay under 20
_LOGIN = 7.0  # a compute may have to wake up
_MARGIN = 0.25  # so that the driver's own deadline, which knows the cause, comes first

_FACTS = text("""
SELECT current_setting('server_version'), current_setting('server_version_num')::int,
       current_setting('max_connections')::int,
       current_setting('superuser_reserved_connections')::int
       + coalesce(current_setting('reserved_connections', true), '0')::int,
       current_setting('statement_timeout'), current_setting('lock_timeout'),
       lower(U&'\\00C4') = U&'\\00E4'
""")


class Connection:
    """Tries one address.

    Args:
        role: `traffic` or `migrations`; every check's name begins with it.
        dsn: the address.
        timeouts: as the service has them, so that the server shows the same ones.
        driver: the service's own, which may be refused where another is not.

    Attributes:
        report: of the server; `None` until the login has succeeded.
    """

    def __init__(self, role: str, dsn: Dsn, timeouts: TimeoutPolicy, driver: Driver) -> None:
        self.report: ServerReport | None = None
        self._role = role
        self._dsn = dsn
        self._driver: Driver = driver
        self._timeouts = replace(timeouts, connect=_LOGIN / 2, request=_LOGIN)

    async def checks(self) -> AsyncIterator[Check]:
        """Take the steps; the first that fails is the last."""
        steps = {
            "dns": (self._resolve, _STEP),
            "tcp": (self._reach, _STEP),
            "tls": (self._encrypt, _STEP),
            "login": (self._log_in, _LOGIN),
        }
        for name, (step, seconds) in steps.items():
            try:
                async with asyncio.timeout(seconds + _MARGIN):
                    check = await step()
            except TimeoutError:
                check = self._fail(name, f"no answer within {seconds:g} s", _SILENCE)
            yield check
            if check.status == "fail":
                return

    def _ok(self, step: str, what: str) -> Check:
        return Check(f"{self._role}.{step}", "ok", what)

    def _fail(self, step: str, what: str, fix: str) -> Check:
        return Check(f"{self._role}.{step}", "fail", what, fix)

    async def _resolve(self) -> Check:
        host = self._dsn.host
        try:
            addresses = await _resolve(host)
        except OSError:
            return self._fail(
                "dns",
                f"{host} has no address",
                "copy the host again from Neon's console, and see whether this machine has a "
                "working DNS",
            )
        return self._ok("dns", f"{host} is {', '.join(addresses)}")

    async def _reach(self) -> Check:
        address = f"{self._dsn.host} port {self._dsn.port}"
        try:
            _, writer = await asyncio.open_connection(self._dsn.host, self._dsn.port)
        except ConnectionRefusedError:
            return self._fail(
                "tcp",
                f"{address} refuses connections",
                "see whether the server runs, and whether the port is right (Neon's is 5432)",
            )
        except OSError as error:
            return self._fail("tcp", f"{address}: {error.strerror or 'no route'}", _SILENCE)
        writer.close()
        return self._ok("tcp", f"{address} answers")

    async def _encrypt(self) -> Check:
        mode = self._dsn.sslmode
        if mode == "disable":
            return self._unsafe("sslmode=disable: nothing is encrypted", "sslmode=verify-full")
        try:
            is_encrypted = await _shakes_hands(self._dsn, self._driver)
        except (UrlError, OSError, asyncio.IncompleteReadError) as error:
            return self._fail("tls", *_why_no_tls(error))
        if is_encrypted:
            return await self._judge_certificate()
        if mode in {"prefer", "allow"}:
            what = f"sslmode={mode}, and the server offers no TLS: nothing is encrypted"
            return self._unsafe(what, "turn ssl on in the server")
        return self._fail(
            "tls",
            f"sslmode={mode}, but the server offers no TLS",
            "turn ssl on in the server; only on a network that you trust, sslmode=disable",
        )

    async def _judge_certificate(self) -> Check:
        mode = self._dsn.sslmode
        context = _context(self._dsn, self._driver)
        if context.verify_mode is ssl.CERT_REQUIRED:
            kept = "verify-full" if context.check_hostname else "verify-ca"
            return self._ok("tls", f"encrypted, and the certificate holds (as sslmode={kept})")
        if self._dsn.requires_binding:
            return self._ok("tls", "encrypted, and the login is bound to it (channel_binding)")
        what = f"encrypted, but sslmode={mode} does not verify whose certificate it is"
        strict = {**self._dsn.parameters, "sslmode": "verify-full"}
        try:
            await _shakes_hands(self._dsn.replace(parameters=strict), self._driver)
        except (OSError, asyncio.IncompleteReadError):
            return self._unsafe(what, "sslmode=verify-full, with sslrootcert=FILE")
        return self._unsafe(what, "sslmode=verify-full: this certificate holds")

    def _unsafe(self, what: str, fix: str) -> Check:
        """Warn of a weakness for who is on the path; nobody is where the server is this machine."""
        if self._dsn.is_local:
            return self._ok("tls", what)
        return Check(f"{self._role}.tls", "warn", what, fix)

    async def _log_in(self) -> Check:
        engine = create_engine(
            self._dsn,
            driver=self._driver,
            pool=PoolPolicy(size=1, overflow=0),
            timeouts=self._timeouts,
            application_name="neonkit doctor",
        )
        try:
            self.report = await _ask(engine)
        except Exception as error:
            fault = fault_of(error)
            if fault is None:
                raise
            return self._fail("login", *_why_no_login(fault.kind, fault.sqlstate, error))
        finally:
            await engine.dispose()
        return self._ok("login", f"{self._dsn.user} logs in to {self._dsn.database}")


_SILENCE = (
    "something between here and there drops the packets: a firewall, an IP allow list, a VPN; or "
    "the host is the wrong one"
)


async def _resolve(host: str) -> list[str]:
    """Look a name up, in a thread that nobody waits for when it hangs."""
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[list[str]] = loop.create_future()

    def settle(addresses: list[str] | None, error: OSError | None) -> None:
        if not answer.done():
            answer.set_exception(error) if error else answer.set_result(addresses or [])

    def look_up() -> None:
        addresses, error = None, None
        try:
            found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
            addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
        except OSError as caught:
            error = caught
        with suppress(RuntimeError):  # the loop has ended meanwhile
            loop.call_soon_threadsafe(settle, addresses, error)

    threading.Thread(target=look_up, daemon=True).start()
    return await answer


async def _shakes_hands(dsn: Dsn, driver: Driver) -> bool:
    """Try TLS; `False` where the server has none."""
    streams = await open_tls(dsn, _context(dsn, driver))
    if streams is None:
        return False
    streams[1].transport.abort()
    return True


def _why_no_tls(error: Exception) -> tuple[str, str]:
    if isinstance(error, UrlError):
        return str(error), "correct the URL"
    if isinstance(error, ssl.SSLCertVerificationError):
        return (
            f"the certificate does not hold: {error.verify_message}",
            "name its authority with sslrootcert=FILE, or the host as the certificate does",
        )
    return (
        "the server ended the connection during the TLS handshake",
        "see whether host and port are those of a PostgreSQL server",
    )


def _context(dsn: Dsn, driver: Driver) -> ssl.SSLContext:
    if driver == "psycopg":  # libpq binds the login by itself, and verifies nothing for it
        dsn = dsn.replace(parameters={**dsn.parameters, "channel_binding": "prefer"})
    given = dsn.for_asyncpg()["ssl"]
    if isinstance(given, ssl.SSLContext):
        return given
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


async def _ask(engine: AsyncEngine) -> ServerReport:
    autocommit = engine.execution_options(isolation_level="AUTOCOMMIT")
    async with autocommit.connect() as connection:
        row = (await connection.execute(_FACTS)).one()
    return ServerReport(is_behind_pooler(engine), *row)


def _why_no_login(kind: FaultKind, sqlstate: str | None, error: Exception) -> tuple[str, str]:
    """Say what a refused login means, and its fix; the server's words hold no password."""
    said = _words_of(error)
    if "password" in said.lower() or sqlstate in {"28P01", "28000"}:
        return (
            f"the server refuses the login: {said}",
            "copy the connection string again from Neon's console, or reset the role's password",
        )
    if sqlstate == "3D000" or "does not exist" in said:
        return f"the server refuses: {said}", "correct the name after the host in the URL"
    if kind is FaultKind.TOO_MANY_CONNECTIONS:
        return (
            f"the server has no connection left: {said}",
            "lower POOL_SIZE, MAX_OVERFLOW or WORKERS, use the pooled host, or end idle sessions",
        )
    if kind is FaultKind.MISCONFIGURED:
        return f"the server refuses: {said}", "correct the URL as the server's words say"
    return f"the login fails ({kind.value}): {said}", "see whether the server is healthy"


def _words_of(error: BaseException) -> str:
    original = error.orig if isinstance(error, DBAPIError) else error
    cause = (original and original.__cause__) or original
    return str(cause).partition("\n")[0] or type(cause).__name__
