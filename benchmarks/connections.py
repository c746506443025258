"""What bad clients cost the others: `python benchmarks/connections.py [SOCKETS]`.

Serves the starter by `neonkit serve`, first to honest readers of a page of several megabytes, then
to 1,000 sockets that are silent, slow, or do not read that page, and to one header of 80 MiB.
Prints the memory of the process and the latency of another client, before and meanwhile, and when
the last of the sockets was closed. Exit code 1 where memory grows by more than 50 MB, where the
other client's 99th percentile grows by more than 50 ms, or where a socket is open for two minutes.
"""

import asyncio
import os
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from secrets import token_hex

from rich.console import Console
from rich.table import Table
from sqlalchemy import insert

from neonkit import Database, create_engine
from neonkit.local import LocalServer
from neonkit_starter.posts.models import Post
from neonkit_starter.users.models import User

SOCKETS = 1_000
MOST_MEMORY, MOST_LATENCY, MOST_SECONDS = 50.0, 50.0, 120.0
_HOST = b"Host: here\r\n"
_PAGE = b"GET /api/v1/posts?limit=100 HTTP/1.1\r\n" + _HOST + b"\r\n"
_POST = b"GET /api/v1/posts/1 HTTP/1.1\r\n" + _HOST + b"\r\n"
_KINDS = {
    "silent": b"",
    "half a head": b"GET / HTTP/1.1\r\nX-Slow: ",
    "a body that never comes": b"POST /api/v1/users HTTP/1.1\r\n" + _HOST
    + b"Content-Type: application/json\r\nContent-Length: 900\r\n\r\n{",
    "an unread page": _PAGE,
}  # fmt: skip
_READERS = 4
_ENDLESS = b"GET / HTTP/1.1\r\nX-Endless: "


@dataclass
class Served:
    """A running server.

    Attributes:
        pid: of its process.
        port: where it listens.
        peak: the most memory of the process since it was last set to zero, in MB.
    """

    pid: int
    port: int
    peak: float = 0.0

    @property
    def memory(self) -> float:
        """Megabytes that are in memory now."""
        status = Path(f"/proc/{self.pid}/status").read_text()
        line = next(line for line in status.splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) / 1024

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
def _many_files() -> Iterator[None]:
    """Let this process, and those that it starts, open as many files as it may."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


@asynccontextmanager
async def _serving(folder: Path, url: str) -> AsyncIterator[Served]:
    """Migrate, fill and serve the starter."""
    variables = {
        **os.environ,
        "NEON_DATABASE_URL": url,
        "ENVIRONMENT": "production",
        "SECRET_KEY": token_hex(32),
        "PORT": "0",
        "LOG_FORMAT": "console",
    }
    command = [sys.executable, "-m", "neonkit"]
    app = "neonkit_starter.app:app"
    migrated = await asyncio.create_subprocess_exec(
        *command, "migrate", app, cwd=folder, env=variables
    )
    await migrated.wait()
    await _fill(url)
    log = (folder / "log").open("wb")
    process = await asyncio.create_subprocess_exec(
        *command, "serve", app, cwd=folder, env=variables, stdout=log, stderr=log
    )
    try:
        yield Served(process.pid, await _port_in(folder / "log"))
    finally:
        process.terminate()
        await process.wait()
        log.close()


async def _fill(url: str) -> None:
    async with Database(create_engine(url)) as database, database.session() as session:
        user = User(username="ada", email="ada@example.com", hashed_password="-")  # noqa: S106  # nobody's
        session.add(user)
        await session.flush()
        post = {"author_id": user.id, "title": "Long", "content": "😀" * 14_000}
        await (await session.connection()).execute(insert(Post), [post] * 100)
        await session.commit()


async def _port_in(log: Path) -> int:
    async with asyncio.timeout(60):
        while "http://127.0.0.1:" not in (said := log.read_text()):  # noqa: ASYNC110, ASYNC240  # a file that another process writes
            await asyncio.sleep(0.1)
    digits = said.partition("http://127.0.0.1:")[2]
    return int("".join(digits[: next(i for i, c in enumerate(digits) if not c.isdigit())]))


async def _attack(served: Served, said: bytes) -> asyncio.StreamWriter | None:
    """Open a socket, say something, and never read."""
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's type may only write
        writer.write(said)
        return writer
    return None


async def _send_endless_header(served: Served) -> None:
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(_ENDLESS)
        for _ in range(80):
            writer.write(b"a" * (1 << 20))
            await writer.drain()


def _p99(took: list[float]) -> float:
    return statistics.quantiles(took, n=100)[98]


async def _measure(served: Served, sockets: int) -> int:
    for _ in range(2):  # what honest readers cost comes first
        await asyncio.gather(*(served.ask(_PAGE, times=3) for _ in range(_READERS)))
    usual, memory = _p99(await served.ask(_POST, times=500)), served.memory
    watching = asyncio.create_task(served.watch())
    started, kinds = time.monotonic(), list(_KINDS.values())
    other = asyncio.create_task(served.ask(_POST, times=1000))
    held = [await _attack(served, kinds[at % len(kinds)]) for at in range(sockets)]
    await _send_endless_header(served)
    meanwhile = _p99(await other)
    while served.held and time.monotonic() - started < MOST_SECONDS:  # noqa: ASYNC110  # the kernel tells nobody
        await asyncio.sleep(0.2)
    seconds, left = time.monotonic() - started, served.held
    watching.cancel()
    for writer in filter(None, held):
        writer.transport.abort()
    table = Table("", "before", "meanwhile", "more", "at most")
    grown = served.peak - memory
    table.add_row("memory, MB", *(f"{x:.0f}" for x in (memory, served.peak, grown, MOST_MEMORY)))
    later = meanwhile - usual
    figures = (usual, meanwhile, later, MOST_LATENCY)
    table.add_row("another client's p99, ms", *(f"{x:.1f}" for x in figures))
    closed = ("", f"{seconds:.0f}", f"{left} open", f"{MOST_SECONDS:.0f}")
    table.add_row("last socket closed, s", *closed)
    Console(width=100).print(table)
    return int(grown > MOST_MEMORY or later > MOST_LATENCY or left > 0)


async def _run(sockets: int) -> int:
    with _many_files(), tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        async with (
            await LocalServer.start(place / "postgres", is_durable=False) as server,
            _serving(place, server.url) as served,
        ):
            return await _measure(served, sockets)


if __name__ == "__main__":
    sys.exit(asyncio.run(_run(int(sys.argv[1]) if len(sys.argv) > 1 else SOCKETS)))
