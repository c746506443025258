"""How a service fares in foul weather: `python -m benchmarks.foul_weather [PROGRAM…]`.

Each program serves `weather_app` with `neonkit serve`, behind the wire of `neonkit.local` where the
database is at fault, and prints one line of figures. The server has a core of its own, and the
clients have the other.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from secrets import token_urlsafe

import uvloop

from neonkit.dsn import Dsn
from neonkit.local import LocalServer, WireProxy, open_listener

HERE = Path(__file__).parent
SUCCESS = {200, 201}
CORES = sorted(os.sched_getaffinity(0))
SECRET_KEY = token_urlsafe(40)


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

    async def open(self, count: int) -> None:
        """Open so many, before they are needed."""
        loop = asyncio.get_running_loop()
        for _ in range(count):
            _, connection = await loop.create_connection(Connection, "127.0.0.1", self._port)
            self._free.append(connection)

    def close(self) -> None:
        """Close what is kept."""
        while self._free:
            self._free.pop().transport.close()


@asynccontextmanager
async def served(
    url: str, folder: Path, *, core: bool = True, **settings: str
) -> AsyncIterator[int]:
    """Serve for the block; the port."""
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
            if core:
                os.sched_setaffinity(process.pid, {CORES[0]})
            client = Client(port)
            while (await client.ask("/health/startup"))[0] not in SUCCESS:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
            client.close()
            yield port
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


async def cold_start(server: LocalServer, folder: Path, driver: str, wake: float) -> str:
    """50 requests a second, half of them writes, over a sleep that takes its time to end."""
    async with (
        WireProxy.start(Dsn.parse(server.url)) as wire,
        served(wire.url, folder, DATABASE_DRIVER=driver) as port,
    ):
        client, number = Client(port), 0

        async def ask() -> tuple[int, float]:
            nonlocal number
            number += 1
            return await client.ask("/read") if number % 2 else await client.ask("/write", "POST")

        for _ in range(20):
            await ask()
        wire.suspend(wake_seconds=wake)
        await asyncio.sleep(0.1)
        before, began = wire.arrivals, time.monotonic()
        tally = await at_rate(50, wake + 3, ask)
        backlog = time.monotonic() - began - wake - 3
        client.close()
    p99 = percentile(tally.good, 0.99)
    return (
        f"{driver}, wake-up of {wake:g} s: {tally.statuses.total()} asked, {tally.failed} failed "
        f"{dict(tally.statuses)}, p99 {p99:.2f} s, latest {max(tally.good + tally.rest):.2f} s, "
        f"{wire.arrivals - before} connects, last answer {backlog:.2f} s after the last request"
    )


async def capacity(port: int, path: str, clients: int, seconds: float) -> float:
    """Answers a second to clients that ask without a pause."""
    client, done, ends = Client(port), 0, time.monotonic() + seconds

    async def go_on() -> None:
        nonlocal done
        while time.monotonic() < ends:
            status, _ = await client.ask(path)
            done += status in SUCCESS

    await asyncio.gather(*(go_on() for _ in range(clients)))
    client.close()
    return done / seconds


async def overload(server: LocalServer, folder: Path, driver: str, path: str, name: str) -> str:
    """Five times what can be served; liveness beside it; and whether it is over with the load."""
    async with served(server.url, folder, DATABASE_DRIVER=driver) as port:
        await capacity(port, path, 40, 1)
        peak = max([await capacity(port, path, count, 3) for count in (20, 40, 80)])
        client, probe = Client(port), Client(port)
        alive: list[float] = []
        has_ended = asyncio.Event()

        async def watch() -> None:
            while not has_ended.is_set():
                status, seconds = await probe.ask("/health/live")
                alive.append(seconds if status in SUCCESS else 99)
                await asyncio.sleep(0.1)

        await client.open(400)
        watching = asyncio.create_task(watch())
        seconds = 8.0
        began = time.monotonic()
        tally = await at_rate(peak * 5, seconds, lambda: client.ask(path))
        took = time.monotonic() - began
        has_ended.set()
        await watching
        calm = await at_rate(peak / 4, 2, lambda: client.ask(path))
        client.close()
        probe.close()
    good = len(tally.good) / max(took, seconds)
    return (
        f"{driver}, {name}: peak {peak:.0f}/s, at five times that {good:.0f}/s served "
        f"({100 * good / peak:.0f} %), {tally.statuses.total() / seconds:.0f}/s offered, "
        f"{dict(tally.statuses)}, p99 {percentile(tally.good, 0.99):.2f} s, latest "
        f"{max(tally.good + tally.rest):.2f} s, "
        f"liveness {1000 * percentile(alive, 0.95):.0f} ms (p95), "
        f"{calm.failed} of {calm.statuses.total()} failed right after it"
    )


PROGRAMS = {
    "cold-start-3": lambda server, folder, driver: cold_start(server, folder, driver, 3),
    "cold-start-10": lambda server, folder, driver: cold_start(server, folder, driver, 10),
    "cold-start-30": lambda server, folder, driver: cold_start(server, folder, driver, 30),
    "overload-cpu": lambda server, folder, driver: overload(
        server, folder, driver, "/read", "the processor is the limit"
    ),
    "overload-pool": lambda server, folder, driver: overload(
        server, folder, driver, "/hold", "the pool is the limit"
    ),
}


async def main(programs: list[str], drivers: list[str]) -> None:
    """Run them, one after the other."""
    if len(CORES) > 1:
        os.sched_setaffinity(0, set(CORES[1:]))
    os.environ["SECRET_KEY"] = SECRET_KEY
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        server = await LocalServer.start(folder / "postgres", is_durable=False)
        try:
            await _prepare(server)
            for program in programs:
                for driver in drivers:
                    line = await PROGRAMS[program](server, folder, driver)
                    sys.stdout.write(f"{line}\n")
                    sys.stdout.flush()
        finally:
            await server.stop()


async def _prepare(server: LocalServer) -> None:
    import asyncpg

    connection = await asyncpg.connect(server.url)
    await connection.execute("CREATE TABLE IF NOT EXISTS weather AS SELECT 0 AS n")
    await connection.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("programs", nargs="*", default=list(PROGRAMS))
    parser.add_argument("--driver", action="append", choices=["asyncpg", "psycopg"])
    options = parser.parse_args()
    uvloop.run(main(options.programs, options.driver or ["asyncpg", "psycopg"]))
