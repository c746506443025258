"""What a service still serves when it is asked for five times what it can.

Peak and overload are measured in turns, a few seconds each, so that other work on the machine
weighs on both alike. What does not depend on it at all is the processor time that an answer costs.
"""

import asyncio
import os
import statistics
import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.weather_client import SUCCESS, Client, Service, percentile, served
from neonkit.local import LocalServer

ROUNDS = 3
SECONDS = 4.0  # of each measurement
SETTLING = {"peak": 1.0, "overload": 4.0}  # seconds before it, which are not counted
CALMING = 3.0  # seconds after it
FACTOR = 5
CONNECTIONS = 1000
AT_PEAK = 40  # clients that ask without a pause
_TICK = 0.002
_TICKS_A_SECOND = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has had."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS_A_SECOND


@dataclass
class Answers:
    """What came while a measurement lasted.

    Attributes:
        statuses: how often each; 0 is a connection that ended without an answer.
        seconds: how long the measurement was.
        cpu: processor time that the server had meanwhile, in seconds.
        unsent: requests that were due while no connection was free.
    """

    statuses: Counter[int] = field(default_factory=Counter)
    seconds: float = 0.0
    cpu: float = 0.0
    unsent: int = 0

    @property
    def good(self) -> float:
        """2xx a second."""
        return self.statuses[200] / self.seconds

    @property
    def good_of_cpu(self) -> float:
        """2xx a second of the server's processor time."""
        return self.statuses[200] / self.cpu


class _Visitor(asyncio.Protocol):
    """A connection, with one request on its way."""

    def __init__(self, crowd: "Crowd") -> None:
        self._crowd = crowd
        self._received = b""
        self.since = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport: asyncio.Transport = transport  # type: ignore[assignment]  # TCP's

    def ask(self, request: bytes) -> None:
        self.since = time.monotonic()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, gap, body = self._received.partition(b"\r\n\r\n")
        if not gap:
            return
        head = head.lower()
        if len(body) < int(head.partition(b"content-length:")[2].split(b"\r\n", 1)[0]):
            return
        self._received = b""
        closes = b"connection: close" in head
        self._crowd.note(self, int(head[9:12]), closes=closes)
        if closes:
            self.transport.close()

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's
        self._crowd.note_end(self)


class Crowd:
    """Clients that ask for one thing, at a rate of theirs or as fast as they are answered.

    Attributes:
        latest: the longest that any answer took, in seconds.
    """

    def __init__(self, service: Service, path: str) -> None:
        self._port, self._pid = service.port, service.pid
        self._request = f"GET {path} HTTP/1.1\r\nHost: x\r\nAccept: */*\r\n\r\n".encode()
        self._free: deque[_Visitor] = deque()
        self._busy: set[_Visitor] = set()
        self._asks_again = False
        self._answers = Answers()
        self.latest = 0.0

    async def open(self, count: int) -> None:
        """Have so many connections."""
        loop = asyncio.get_running_loop()
        for _ in range(count - len(self._free) - len(self._busy)):
            _, visitor = await loop.create_connection(
                lambda: _Visitor(self), "127.0.0.1", self._port
            )
            self._free.append(visitor)

    def close(self) -> None:
        """Close them."""
        for visitor in (*self._free, *self._busy):
            visitor.transport.abort()
        self._free.clear()
        self._busy.clear()

    def note(self, visitor: _Visitor, status: int, *, closes: bool) -> None:
        """An answer has come."""
        self._answers.statuses[status] += 1
        self.latest = max(self.latest, time.monotonic() - visitor.since)
        if self._asks_again and not closes:
            visitor.ask(self._request)
            return
        self._busy.discard(visitor)
        if not closes:
            self._free.append(visitor)

    def note_end(self, visitor: _Visitor) -> None:
        """A connection has ended; whoever waited on it gets no answer."""
        if visitor in self._busy:
            self._answers.statuses[0] += 1
            self._busy.discard(visitor)
        elif visitor in self._free:
            self._free.remove(visitor)

    async def at_peak(self) -> Answers:
        """Ask without a pause."""
        await self.open(AT_PEAK)
        self._asks_again = True
        for _ in range(AT_PEAK):
            self._ask()
        try:
            await asyncio.sleep(SETTLING["peak"])
            return await self._measure(asyncio.sleep(SECONDS))
        finally:
            self._asks_again = False
            await self.rest()

    async def at_rate(self, rate: float) -> Answers:
        """Ask so often a second, whatever becomes of it."""
        await self.open(CONNECTIONS)
        await self._keep_asking(rate, SETTLING["overload"])
        return await self._measure(self._keep_asking(rate, SECONDS))

    async def until_calm(self, rate: float) -> float:
        """Ask at an ordinary rate; seconds until nothing is refused any more."""
        began = last = time.monotonic()
        while time.monotonic() - began < CALMING:
            self._answers = Answers()
            await self._keep_asking(rate, 0.1)
            if self._answers.statuses.total() > self._answers.statuses[200]:
                last = time.monotonic()
        return last - began

    async def rest(self) -> None:
        """Wait for the answers that are still to come."""
        while self._busy:  # noqa: ASYNC110  # nobody tells
            await asyncio.sleep(0.01)

    async def _measure(self, asking: Awaitable[None]) -> Answers:
        self._answers = answers = Answers()
        began, cpu = time.monotonic(), cpu_seconds(self._pid)
        await asking
        answers.seconds = time.monotonic() - began
        answers.cpu = cpu_seconds(self._pid) - cpu
        self._answers = Answers()
        return answers

    async def _keep_asking(self, rate: float, seconds: float) -> None:
        began, sent = time.monotonic(), 0
        while (now := time.monotonic() - began) < seconds:
            while sent < now * rate:
                sent += 1
                self._ask()
            await asyncio.sleep(_TICK)

    def _ask(self) -> None:
        if not self._free:
            self._answers.unsent += 1
            return
        visitor = self._free.popleft()
        self._busy.add(visitor)
        visitor.ask(self._request)


async def overload(server: LocalServer, folder: Path, driver: str, path: str, name: str) -> str:
    """Five times what can be served; liveness beside it; and whether it is over with the load."""
    peaks, floods, calms = [], [], []
    alive: list[float] = []
    async with served(server.url, folder, DATABASE_DRIVER=driver) as service:
        crowd = Crowd(service, path)
        for _ in range(ROUNDS):
            peaks.append(await crowd.at_peak())
            async with _watching(service, alive):
                floods.append(await crowd.at_rate(FACTOR * peaks[-1].good))
            calms.append(await crowd.until_calm(peaks[-1].good / 4))
            await crowd.rest()
        crowd.close()
    pairs = list(zip(peaks, floods, strict=True))
    served_share = statistics.median(flood.good / peak.good for peak, flood in pairs)
    of_cpu = statistics.median(flood.good_of_cpu / peak.good_of_cpu for peak, flood in pairs)
    core = sum(flood.cpu for flood in floods) / sum(flood.seconds for flood in floods)
    statuses = sum((flood.statuses for flood in floods), Counter[int]())
    return (
        f"{driver}, {name}: peak {statistics.median(peak.good for peak in peaks):.0f}/s, at five "
        f"times that {100 * served_share:.0f} % of it served, {100 * of_cpu:.0f} % for the same "
        f"processor time, of which the server had {100 * core:.0f} % of a core; {dict(statuses)}, "
        f"{sum(flood.unsent for flood in floods)} found no connection free; latest answer "
        f"{crowd.latest:.2f} s, liveness "
        f"{1000 * percentile(alive, 0.95):.0f} ms (p95), last refusal {max(calms):.1f} s after it"
    )


@asynccontextmanager
async def _watching(service: Service, alive: list[float]) -> AsyncIterator[None]:
    """Ask for liveness again and again, and note the seconds that it takes."""
    client, has_ended = Client(service.port), asyncio.Event()

    async def watch() -> None:
        while not has_ended.is_set():
            status, seconds = await client.ask("/health/live")
            alive.append(seconds if status in SUCCESS else 99)
            await asyncio.sleep(0.05)

    watching = asyncio.create_task(watch())
    try:
        yield
    finally:
        has_ended.set()
        await watching
        client.close()
