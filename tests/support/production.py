"""The starter in production, as a process that is watched from outside."""

import asyncio
import os
import platform
import resource
import statistics
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex

APP = "neonkit_starter.app:app"


@dataclass
class Production:
    """A running server.

    Attributes:
        pid: of its process.
        port: where it listens.
        peak: the most memory of the process that was seen, in MB.
    """

    pid: int
    port: int
    peak: float = 0.0

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def memory(self) -> float:
        """Megabytes that are in memory now."""
        pages = int(Path(f"/proc/{self.pid}/statm").read_text().split()[1])
        return pages * resource.getpagesize() / 1024**2

    @property
    def held(self) -> int:
        """How many connections its side has not closed."""
        lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
        local = f"0100007F:{self.port:04X}"
        return sum(line.split()[1] == local and line.split()[3] == "01" for line in lines)

    async def watch(self) -> None:
        """Note the most memory, for as long as this runs."""
        while True:
            self.peak = max(self.peak, self.memory)
            await asyncio.sleep(0.02)

    async def ask(self, request: bytes, *, times: int) -> list[float]:
        """Ask again and again on one connection; the milliseconds that each answer took."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        took = []
        for _ in range(times):
            started = time.perf_counter()
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise RuntimeError(head.decode())
            length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
            await reader.readexactly(int(length))
            took.append((time.perf_counter() - started) * 1000)
            await asyncio.sleep(0.01)
        writer.close()
        return took


@contextmanager
def many_files() -> Iterator[None]:
    """Let this process, and those that it starts, open as many files as it may."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@asynccontextmanager
async def serving(folder: Path, url: str, **variables: str) -> AsyncIterator[Production]:
    """Migrate a database, and serve the starter from it.

    Args:
        folder: where the log goes.
        url: the database.
        variables: of the environment, beside production's.
    """
    environment = {
        **os.environ,
        "NEON_DATABASE_URL": url,
        "ENVIRONMENT": "production",
        "SECRET_KEY": token_hex(32),
        "PORT": "0",
        "LOG_FORMAT": "console",
        **variables,
    }
    command = (sys.executable, "-m", "neonkit")
    migrated = await asyncio.create_subprocess_exec(
        *command, "migrate", APP, cwd=folder, env=environment
    )
    await migrated.wait()
    with (folder / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, "serve", APP, cwd=folder, env=environment, stdout=log, stderr=log
        )
        try:
            yield Production(process.pid, await _port_in(folder / "log"))
        finally:
            process.terminate()
            await process.wait()


async def _port_in(log: Path) -> int:
    said, start = "", "serving on http://127.0.0.1:"
    async with asyncio.timeout(60):
        while start not in said or "\n" not in said.partition(start)[2]:
            await asyncio.sleep(0.1)
            said = log.read_text()  # noqa: ASYNC240  # small, and another process writes it
    return int(said.partition(start)[2].split()[0])


def p99(took: list[float]) -> float:
    """The 99th percentile."""
    return statistics.quantiles(took, n=100)[98]


def where_and_when() -> str:
    """The machine and the day, for a page of results."""
    cores = len(os.sched_getaffinity(0))
    return f"{datetime.now(UTC):%Y-%m-%d}, {cores} cores, Python {platform.python_version()}"
