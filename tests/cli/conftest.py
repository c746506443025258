"""The command as people start it: a process with its own folder, environment and port."""

import asyncio
import http.client
import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.message import Message
from pathlib import Path

import asyncpg
import pytest

from neonkit.dsn import Dsn
from neonkit.migrations import upgrade_schema
from support.outside import outside
from support.servers import dsn, server_url

__all__ = ["dsn", "outside", "server_url"]

PATIENCE = 90.0
SECRET_KEY = "nB2xk0dJr7Qe5sVw9zLtYh3mUaGc8fPiRo6E1KXW"

APP = """
import asyncio, gc, os, time
from fastapi import FastAPI, Request
from sqlmodel import literal, select
import neonkit

app = FastAPI()
neonkit.install(app)

@app.get("/pid")
async def pid() -> int:
    return os.getpid()

@app.get("/frozen")
async def frozen() -> int:
    return gc.get_freeze_count()

@app.get("/rows")
async def rows(session: neonkit.SessionDep) -> int:
    return (await session.exec(select(literal(1)))).one()

@app.get("/client")
async def client(request: Request) -> str:
    return request.client.host

@app.get("/slow")
async def slow(seconds: float) -> int:
    await asyncio.sleep(seconds)
    return os.getpid()

@app.get("/stuck")
async def stuck(seconds: float) -> None:
    time.sleep(seconds)
"""


@dataclass(frozen=True)
class Answer:
    """What came back over TCP."""

    status: int
    headers: Message
    body: bytes

    def json(self) -> object:
        """The body, parsed."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Done:
    """A command that has ended."""

    code: int
    output: str
    error: str


@dataclass
class Service:
    """A running `neonkit serve` or `neonkit dev`."""

    process: subprocess.Popen[bytes]
    log: Path
    _port: int | None = field(default=None)

    @property
    def text(self) -> str:
        """All that it has printed."""
        return self.log.read_text()

    @property
    def port(self) -> int:
        """Where it listens; waits until it says so."""
        if self._port is None:
            self.wait_for(r"serving on http://")
            found = re.search(r"http://127\.0\.0\.1:(\d+)", self.text)
            assert found is not None
            self._port = int(found[1])
        return self._port

    def wait_for(self, pattern: str, count: int = 1) -> None:
        """Wait until it has printed something, so many times."""
        deadline = time.monotonic() + PATIENCE
        while len(re.findall(pattern, self.text)) < count:
            assert time.monotonic() < deadline, self.text
            assert self.process.poll() is None, self.text
            time.sleep(0.02)

    def get(self, path: str, headers: dict[str, str] | None = None) -> Answer:
        """Send one request on a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=PATIENCE)
        try:
            connection.request("GET", path, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def is_ready(self) -> bool:
        """Whether a balancer would send traffic."""
        return self.get("/health/ready").status == 200

    def wait_until(self, condition: Callable[[], bool]) -> None:
        """Wait until a condition comes true."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, self.text
            time.sleep(0.02)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.process.send_signal(signal.SIGTERM)

    def workers(self) -> set[int]:
        """The processes that it has started and that still run."""
        return workers_of(self.process.pid)

    def alive(self, pids: set[int]) -> set[int]:
        """Which of these processes still run."""
        return {pid for pid in pids if is_running(pid)}

    def end(self) -> int:
        """Wait for the exit code."""
        return self.process.wait(PATIENCE)


def is_running(pid: int) -> bool:
    """Whether a process is there, and not a zombie."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except (FileNotFoundError, ProcessLookupError):
        return False
    return state != "Z"


def workers_of(pid: int) -> set[int]:
    """The server processes that a process has started and that still run."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return {int(child) for child in children if b"spawn_main" in _command_of(child)}


def _command_of(pid: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except FileNotFoundError:
        return b""


Launch = Callable[..., Service]
Run = Callable[..., Done]


def environment(given: dict[str, str]) -> dict[str, str]:
    """A process environment with nothing of the developer's own settings in it."""
    kept = {name: os.environ[name] for name in ("HOME", "PATH", "PYTHONPATH") if name in os.environ}
    return {**kept, "PYTHONDONTWRITEBYTECODE": "1", **given}


@pytest.fixture
def url(server_url: str, dsn: Dsn) -> str:
    """The URL of an empty database of the test's own."""
    return server_url.replace("/postgres?", f"/{dsn.database}?")


@pytest.fixture
def production(server_url: str) -> dict[str, str]:
    """What a production service must be told; its database has been migrated."""
    asyncio.run(upgrade_schema(Dsn.parse(server_url)))
    return {"NEON_DATABASE_URL": server_url, "SECRET_KEY": SECRET_KEY}


@pytest.fixture
def launch(tmp_path: Path) -> Iterator[Launch]:
    """Start commands in a folder that holds `notes.py`; whatever still runs is killed."""
    (tmp_path / "notes.py").write_text(APP)
    services: list[Service] = []

    def start(*arguments: str, env: dict[str, str]) -> Service:
        log = tmp_path / f"log{len(services)}"
        with log.open("wb") as output:
            process = subprocess.Popen(
                [sys.executable, "-m", "neonkit", *arguments, "--port", "0"],
                cwd=tmp_path,
                env=environment(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
            )
        services.append(Service(process, log))
        return services[-1]

    yield start
    for service in services:
        service.process.kill()
        service.process.wait()


@pytest.fixture
def run_neonkit(tmp_path: Path) -> Run:
    """Run a command to its end, in a folder that holds `notes.py`."""
    (tmp_path / "notes.py").write_text(APP)

    def run(*arguments: str, env: dict[str, str] | None = None) -> Done:
        done = subprocess.run(
            [sys.executable, "-m", "neonkit", *arguments],
            cwd=tmp_path,
            env=environment(env or {}),
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        return Done(done.returncode, done.stdout, done.stderr)

    return run


async def query(url: str, sql: str) -> list[tuple[object, ...]]:
    """Ask the database something."""
    connection = await asyncpg.connect(url)
    try:
        return [tuple(row) for row in await connection.fetch(sql)]
    finally:
        await connection.close()
