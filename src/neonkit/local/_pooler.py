"""PgBouncer in front of a server of this machine, in transaction mode as Neon has it."""

import asyncio
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from socket import create_connection
from typing import Self

from neonkit.dsn import Dsn
from neonkit.errors import ConfigurationError
from neonkit.local._ports import PortTakenError, start_on_free_port

_FIRST_TRACKING = (1, 21)
_START_SECONDS = 10.0

# it is killed when its standard input ends: however this process ends, nothing is left behind
_SUPERVISOR = """
exec 3<&0
(read -r _ <&3; kill -KILL "$$" 2>/dev/null; rm -rf "$3") &
exec "$1" "$2" 3<&-
"""

_SETTINGS: Mapping[str, object] = {
    "listen_addr": "127.0.0.1",
    "unix_socket_dir": "",
    "auth_type": "scram-sha-256",
    "pool_mode": "transaction",
    "default_pool_size": 90,  # these three are Neon's, of its smallest compute
    "max_client_conn": 10_000,
    "max_prepared_statements": 1000,
    "server_tls_sslmode": "disable",
    "log_connections": 0,
    "log_disconnections": 0,
    "log_stats": 0,
}


@dataclass(frozen=True)
class LocalPooler:
    """A running PgBouncer on loopback, in transaction mode.

    Attributes:
        dsn: its address: the server's, with another port.
    """

    dsn: Dsn

    @classmethod
    @asynccontextmanager
    async def start(
        cls, target: Dsn, settings: Mapping[str, object] | None = None
    ) -> AsyncIterator[Self]:
        """Start one for the block.

        Args:
            target: the server, which it reaches without TLS. Other roles than this one may log
                in too, if this one is a superuser.
            settings: PgBouncer's own, such as `default_pool_size`. `max_prepared_statements` is
                1000 as on Neon; with 0 a client's prepared statement may be gone, or another's.

        Raises:
            ConfigurationError: there is no PgBouncer of 1.21 or newer, or it does not start; the
                message holds what it said.
        """
        program = await asyncio.to_thread(find_pgbouncer)
        if program is None:
            raise ConfigurationError(
                "there is no PgBouncer 1.21 or newer in PATH: install your system's package "
                "pgbouncer, from Debian 13 on"
            )
        with tempfile.TemporaryDirectory(
            prefix="neonkit-pgbouncer-",
            ignore_cleanup_errors=True,  # the supervisor tidies up too
        ) as name:
            file = _configure(Path(name), target, settings or {})
            supervisor, port = await asyncio.to_thread(_launch, program, file)
            try:
                yield cls(target.replace(host="127.0.0.1", port=port))
            finally:
                await asyncio.to_thread(_end, supervisor)


def find_pgbouncer() -> Path | None:
    """Find a PgBouncer in PATH that tracks prepared statements, as Neon's does: 1.21 or newer."""
    program = shutil.which("pgbouncer")
    if program is None:
        return None
    done = subprocess.run(  # noqa: S603  # a program that was looked for by name
        [program, "--version"], capture_output=True, text=True, check=False
    )
    found = re.search(r"(\d+)\.(\d+)", done.stdout)
    is_new = found is not None and (int(found[1]), int(found[2])) >= _FIRST_TRACKING
    return Path(program) if is_new else None


def _configure(folder: Path, target: Dsn, own: Mapping[str, object]) -> Path:
    user, password = target.user, target.password or ""
    server = {"host": target.host, "port": target.port, "auth_user": user}
    users = folder / "users"
    users.write_text(" ".join(_quoted(text, '"') for text in (user, password)) + "\n")
    settings = {**_SETTINGS, **own, "auth_file": users}
    if os.geteuid() == 0:
        settings["user"] = "nobody"  # it does not stay root
    address = " ".join(f"{name}={_quoted(str(value))}" for name, value in server.items())
    lines = [f"{name} = {value}" for name, value in settings.items()]
    file = folder / "pgbouncer.ini"
    file.write_text("\n".join(["[databases]", f"* = {address}", "[pgbouncer]", *lines, ""]))
    return file


def _quoted(text: str, quote: str = "'") -> str:
    return quote + text.replace(quote, 2 * quote) + quote


def _launch(program: Path, file: Path) -> tuple[subprocess.Popen[bytes], int]:
    settings = file.read_text()
    log = file.with_name("log")

    def launch(port: int) -> tuple[subprocess.Popen[bytes], int]:
        file.write_text(f"{settings}listen_port = {port}\n")
        supervisor = _spawn(program, file, log)
        if _becomes_ready(supervisor, port):
            return supervisor, port
        _end(supervisor)
        said = log.read_text(errors="replace").strip()
        refusal = PortTakenError if "in use" in said else ConfigurationError
        raise refusal(f"PgBouncer does not start:\n{said}")

    return start_on_free_port(launch)


def _spawn(program: Path, file: Path, log: Path) -> subprocess.Popen[bytes]:
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603  # our own script, and a program found by name
            ["/bin/sh", "-c", _SUPERVISOR, "sh", program, file, file.parent],
            stdin=subprocess.PIPE,
            stdout=output,
            stderr=output,
            start_new_session=True,
        )


def _becomes_ready(supervisor: subprocess.Popen[bytes], port: int) -> bool:
    deadline = time.monotonic() + _START_SECONDS
    while supervisor.poll() is None and time.monotonic() < deadline:
        if _answers(port):
            return True
        time.sleep(0.005)
    return False


def _answers(port: int) -> bool:
    try:
        create_connection(("127.0.0.1", port)).close()
    except OSError:
        return False
    return True


def _end(supervisor: subprocess.Popen[bytes]) -> None:
    assert supervisor.stdin is not None, "a pipe was asked for"  # noqa: S101
    supervisor.stdin.close()
    supervisor.wait()
