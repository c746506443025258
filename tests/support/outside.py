"""A PostgreSQL outside of the toolkit, and processes that serve an app, as a user has them."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from support.needed import BINARIES, need_debians_postgres, need_openssl

PASSWORD = "0uts1de-hunter2"
_IDENTITY: dict[str, Any] = (
    {"user": "nobody", "group": "nogroup", "extra_groups": []} if os.geteuid() == 0 else {}
)


def free_port() -> int:
    """A TCP port that nothing listens on."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


@dataclass
class OutsidePostgres:
    """Debian's PostgreSQL with TLS on, started and stopped at will."""

    folder: Path
    port: int = field(default_factory=free_port)

    @property
    def url(self) -> str:
        """Its address, without parameters."""
        return f"postgresql://outsider:{PASSWORD}@127.0.0.1:{self.port}/postgres"

    @property
    def certificate(self) -> Path:
        """Its certificate, which signs itself and holds for every endpoint of Neon's."""
        return self.folder / "data" / "server.crt"

    def run(self, program: str, *arguments: str) -> str:
        """Run one of its programs as the server's user."""
        done: subprocess.CompletedProcess[str] = subprocess.run(
            [BINARIES / program, *arguments],
            cwd=self.folder,
            capture_output=True,
            text=True,
            env={"PGPASSWORD": PASSWORD, "PATH": os.environ["PATH"], "PGSSLMODE": "require"},
            check=True,
            **_IDENTITY,
        )
        return done.stdout

    def make(self) -> None:
        """Initialise it."""
        (self.folder / "pw").write_text(PASSWORD)
        self.run(
            "initdb", "-D", "data", "-U", "outsider", "-A", "scram-sha-256", "--pwfile=pw", "-N",
            "--locale=C.UTF-8",
        )  # fmt: skip
        subprocess.run(
            [
                "openssl", "req", "-new", "-x509", "-nodes", "-days", "2", "-subj", "/CN=outside",
                "-addext", "subjectAltName=DNS:*.us-east-2.aws.neon.tech",
                "-keyout", "data/server.key", "-out", "data/server.crt",
            ],
            cwd=self.folder, check=True, capture_output=True, **_IDENTITY,
        )  # fmt: skip
        (self.folder / "data" / "server.key").chmod(0o600)
        settings = (
            f"port = {self.port}",
            "listen_addresses = '127.0.0.1'",
            "unix_socket_directories = ''",
            "ssl = on",
            "fsync = off",
        )
        with (self.folder / "data" / "postgresql.conf").open("a") as file:
            file.write("\n".join(settings) + "\n")

    def start(self) -> None:
        """Start it and wait until it answers."""
        self.run("pg_ctl", "-D", "data", "-l", "log", "-w", "start")

    def stop(self) -> None:
        """Stop it as Neon's suspend does: connections end with 57P01."""
        self.run("pg_ctl", "-D", "data", "-m", "fast", "-w", "stop")

    def query(self, sql: str) -> str:
        """Ask it something, over TLS."""
        return self.run(
            "psql", "-h", "127.0.0.1", "-p", str(self.port), "-U", "outsider", "-d", "postgres",
            "-X", "-A", "-t", "-c", sql,
        ).strip()  # fmt: skip


@pytest.fixture
def outside() -> Iterator[OutsidePostgres]:
    """A running one, with TLS, in a folder of its own."""
    need_debians_postgres()
    need_openssl()
    folder = (
        Path("/var/tmp") / f"neonkit-outside-{os.getpid()}-{time.monotonic_ns()}"
    )  # its user must reach it
    folder.mkdir()
    if _IDENTITY:
        subprocess.run(["chown", "nobody:nogroup", str(folder)], check=True)
    server = OutsidePostgres(folder)
    server.make()
    server.start()
    try:
        yield server
    finally:
        subprocess.run(
            [BINARIES / "pg_ctl", "-D", "data", "-m", "immediate", "stop"],
            cwd=folder,
            capture_output=True,
            check=False,
            **_IDENTITY,
        )
        subprocess.run(["rm", "-rf", str(folder)], check=True)


@dataclass
class Served:
    """A process that serves an app.

    Attributes:
        url: its address.
        process: itself.
        output: the file with all that it printed.
    """

    url: str
    process: subprocess.Popen[bytes]
    output: Path

    def get(self, path: str) -> tuple[int, str]:
        """Ask it something; a status of 0 where it does not answer."""
        try:
            with urlopen(self.url + path, timeout=20) as response:
                return response.status, response.read().decode()
        except HTTPError as error:
            return error.code, error.read().decode()
        except (URLError, OSError):
            return 0, ""

    def wait_for(self, path: str, status: int, seconds: float) -> str:
        """Ask until the answer has this status, for so long at most."""
        deadline = time.monotonic() + seconds
        while (answer := self.get(path))[0] != status:
            is_over = time.monotonic() > deadline or self.process.poll() is not None
            assert not is_over, (answer, self.output.read_text()[-2000:])
            time.sleep(0.05)
        return answer[1]


@contextmanager
def serving(folder: Path, *command: str, **variables: str) -> Iterator[Served]:
    """Serve for the block: a command of this environment, with `PORT` and other variables set."""
    port = free_port()
    output = folder / "output.txt"
    environment = {name: value for name, value in os.environ.items() if "DATABASE" not in name} | {
        "PORT": str(port),
        "PYTHONUNBUFFERED": "1",
        "ENVIRONMENT": "",
        **variables,
    }
    with output.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", *(part.replace("{port}", str(port)) for part in command)],
            cwd=folder,
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        yield Served(f"http://127.0.0.1:{port}", process, output)
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
