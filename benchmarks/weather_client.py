"""Clients of a service in foul weather, and the service."""

import asyncio
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from neonkit.local import open_listener

HERE = Path(__file__).parent
SUCCESS = {200, 201}
CORES = sorted(os.sched_getaffinity(0))


@dataclass
class Tally:
    """What clients saw.

    Attributes:
        statuses: how often each; 0 is no answer.
        good: seconds that each 2xx took.
        rest: seconds that each other answer took.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    good: list[float] = field(default_factory=list)
    rest: list[float] = field(default_factory=list)

    def note(self, status: int, seconds: float) -> None:
        """Count one."""
        self.statuses[status] += 1
        (self.good if status in SUCCESS else self.rest).append(seconds)

    @property
    def failed(self) -> int:
        """How many were no 2xx."""
        return len(self.rest)


def percentile(values: list[float], share: float) -> float:
    """The value below which a share of them is."""
    return sorted(values)[min(len(values) - 1, int(len(values) * share))] if values else 0.0


class Connection(asyncio.Protocol):
    """One connection, which has one request at a time on its way."""

    def __init__(self) -> None:
        self.answer: asyncio.Future[tuple[int, bool]] | None = None
        self._received = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin."""
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # TCP's

    def data_received(self, data: bytes) -> None:
        """Look if the answer is whole."""
        self._received += data
        head, gap, body = self._received.partition(b"\r\n\r\n")
        if not gap:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(body) < length or self.answer is None or self.answer.done():
            return
        self._received = b""
        closes = b"connection: close" in head.lower()
        self.answer.set_result((int(head.split(b" ", 2)[1]), closes))

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's
        """Whoever waits gets no answer."""
        if self.answer is not None and not self.answer.done():
            self.answer.set_result((0, True))


class Client:
    """Keeps connections, and asks over one that is free."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._free: list[Connection] = []

    async def ask(self, path: str, method: str = "GET", timeout: float = 20) -> tuple[int, float]:
        """The status, 0 for none, and the seconds that it took."""
        began = time.monotonic()
        try:
            async with asyncio.timeout(timeout):
                status = await self._ask(path, method)
        except (OSError, TimeoutError):
            status = 0
        return status, time.monotonic() - began

    async def _ask(self, path: str, method: str) -> int:
        loop = asyncio.get_running_loop()
        while self._free and self._free[-1].transport.is_closing():
            self._free.pop()
        if self._free:
            connection = self._free.pop()
        else:
            _, connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
        connection.answer = loop.create_future()
        connection.transport.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        try:
            status, closes = await connection.answer
        except BaseException:
            connection.transport.abort()
            raise
        if closes:
            connection.transport.close()
        else:
            self._free.append(connection)
        return status

    def close(self) -> None:
        """Close what is kept."""
        while self._free:
            self._free.pop().transport.close()


@dataclass(frozen=True)
class Service:
    """A process that serves.

    Attributes:
        port: on 127.0.0.1.
        pid: of its one worker.
    """

    port: int
    pid: int


@asynccontextmanager
async def served(url: str, folder: Path, **settings: str) -> AsyncIterator[Service]:
    """Serve `weather_app` on a core of its own for the block."""
    with open_listener("127.0.0.1", 0) as free:
        port: int = free.getsockname()[1]
    environment = {
        **os.environ,
        "NEON_DATABASE_URL": url,
        "PORT": str(port),
        "ENVIRONMENT": "development",
        "LOG_LEVEL": "warning",
        "DRAIN_SECONDS": "0",
        **settings,
    }
    command = [sys.executable, "-m", "neonkit", "serve", "benchmarks.weather_app:app"]
    with (folder / f"server-{port}.log").open("wb") as log:
        process = subprocess.Popen(  # noqa: ASYNC220, S603  # this project's own command
            command, cwd=HERE.parent, env=environment, stdout=log, stderr=subprocess.STDOUT
        )
        try:
            os.sched_setaffinity(process.pid, {CORES[0]})
            client = Client(port)
            while (await client.ask("/health/startup"))[0] not in SUCCESS:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            client.close()
            yield Service(port, process.pid)
        finally:
            process.terminate()
            await asyncio.to_thread(process.wait)


async def at_rate(
    per_second: float, seconds: float, ask: Callable[[], Awaitable[tuple[int, float]]]
) -> Tally:
    """Ask at a rate, whatever becomes of the answers (open loop)."""
    tally = Tally()

    async def one() -> None:
        tally.note(*await ask())

    began, sent = time.monotonic(), 0
    async with asyncio.TaskGroup() as group:
        while (now := time.monotonic() - began) < seconds:
            while sent < now * per_second:
                group.create_task(one())
                sent += 1
            await asyncio.sleep(0.002)
    return tally
