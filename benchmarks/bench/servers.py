"""The processes that are measured: one core, one worker each, started as their users start them."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

from benchmarks.bench.load import Usage
from benchmarks.bench.operations import ROADS, Road
from benchmarks.bench.ports import free_port

ROOT = Path(__file__).parents[2]
ADMIN = {
    "FIRST_ADMIN_USERNAME": "banker",
    "FIRST_ADMIN_EMAIL": "banker@example.com",
    "FIRST_ADMIN_PASSWORD": "gold standard since 1694",
}
_NEONKIT = ("neonkit", "serve")
_UVICORN = ("uvicorn", "--host", "127.0.0.1")
_COMMANDS: dict[Road, tuple[str, ...]] = {
    "source": (*_UVICORN, "benchmarks.bench.apps.source:app"),
    "raw": (*_UVICORN, "benchmarks.bench.apps.raw:app"),
    "plain": (*_NEONKIT, "benchmarks.bench.apps.plain:app"),
    "starter": (*_NEONKIT, "neonkit_starter.app:app"),
}
_SETTINGS = {
    "ENVIRONMENT": "production",
    "SECRET_KEY": "benchmarks-sign-nothing-that-anybody-trusts-7f3a91",
    "ACCESS_TOKEN_TTL": "3600",
    "DRAIN_SECONDS": "0",
}
_PATIENCE = 60.0  # seconds


@dataclass(frozen=True)
class Server:
    """A running server.

    Attributes:
        port: of 127.0.0.1.
        process: the only one.
    """

    port: int
    process: subprocess.Popen[bytes]

    def usage(self) -> Usage:
        """What the process, or while it waited its main thread, has used until now."""
        pid = self.process.pid
        cpu = time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid(3) makes it
        waited = int(Path(f"/proc/{pid}/schedstat").read_text().split()[1]) / 1e9
        return Usage(cpu, waited)

    def pin(self, cores: frozenset[int]) -> None:
        """Keep every thread, and those that they start later, on these cores."""
        for thread in Path(f"/proc/{self.process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), cores)

    def wait(self) -> None:
        """Wait until it has started, as neonkit's apps say it; the others do not know that page."""
        deadline = time.monotonic() + _PATIENCE
        while time.monotonic() < deadline and self.process.poll() is None:
            try:
                with urlopen(f"http://127.0.0.1:{self.port}/health/startup", timeout=_PATIENCE):
                    return
            except HTTPError as error:
                if error.code == HTTPStatus.NOT_FOUND:
                    return
            except OSError:
                pass
            time.sleep(0.05)
        raise RuntimeError(f"a server does not start: {self.process.args!r}")


@dataclass(frozen=True)
class Cores:
    """Who runs where, so that the load never takes time from what it measures."""

    server: frozenset[int]
    rest: frozenset[int]

    @classmethod
    def split(cls) -> "Cores":
        """Give the first core to servers and the others to all else; one core is shared."""
        first, *others = sorted(os.sched_getaffinity(0))
        return cls(frozenset({first}), frozenset(others or {first}))


Servers = dict[Road, Server]


@contextmanager
def running(url: str, cores: frozenset[int]) -> Iterator[Servers]:
    """Serve every app for the block, all on the same database and the same cores."""
    servers: Servers = {road: _start(road, url) for road in ROADS}
    try:
        for server in servers.values():
            server.wait()
            server.pin(cores)
        yield servers
    finally:
        for server in servers.values():
            server.process.terminate()
        for server in servers.values():
            server.process.wait(_PATIENCE)


def _start(road: Road, url: str) -> Server:
    port = free_port()
    process = subprocess.Popen(  # noqa: S603  # our own apps, with this interpreter
        [sys.executable, "-m", *_COMMANDS[road], "--port", str(port)],
        cwd=ROOT,
        env=environment(url),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    return Server(port, process)


def environment(url: str) -> Mapping[str, str]:
    """What such a process is told: nothing of this one's own settings."""
    kept = {name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ}
    return kept | _SETTINGS | ADMIN | {"NEON_DATABASE_URL": url}
