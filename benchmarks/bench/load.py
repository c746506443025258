"""The load: a fixed number of connections, each of which waits for its answer and asks again."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import cast

_END_OF_HEAD = b"\r\n\r\n"
_LENGTH = b"content-length: "
_STATUS = slice(9, 12)  # of `HTTP/1.1 200 OK`
_GOOD = (b"200", b"201")
_PATIENCE = 30.0  # seconds


class UnexpectedAnswerError(RuntimeError):
    """A server answered with something that is not what is measured."""


@dataclass(frozen=True)
class Plan:
    """How long one cell is loaded, and by how many.

    Attributes:
        connections: kept alive, one request at a time on each.
        warm: seconds before anything is noted.
        seconds: that are noted.
    """

    connections: int = 16
    warm: float = 0.4
    seconds: float = 2.0


@dataclass(frozen=True)
class Usage:
    """What a process had of its processor until now, in seconds.

    Attributes:
        cpu: that it ran, in user and in system mode.
        waited: that it could have run, but something else did.
    """

    cpu: float
    waited: float

    def since(self, before: "Usage") -> "Usage":
        """What it had after `before`."""
        return Usage(self.cpu - before.cpu, self.waited - before.waited)


@dataclass
class Measured:
    """What was seen between two moments.

    Attributes:
        latencies: seconds, one for each answer.
        seconds: between the moments.
        usage: the server process's, between them.
    """

    latencies: list[float] = field(default_factory=list)
    seconds: float = 0.0
    usage: Usage = Usage(0.0, 0.0)


class _Connection(asyncio.Protocol):
    """One connection in a closed loop; `ask` gives each request, `None` ends it."""

    def __init__(self, ask: Callable[[], bytes | None], note: Callable[[float], None]) -> None:
        self._ask = ask
        self._note = note
        self._buffer = b""
        self._transport: asyncio.Transport | None = None
        self._sent = 0.0
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass
        self._send()

    def data_received(self, data: bytes) -> None:
        self._buffer = self._buffer + data if self._buffer else data
        end = self._buffer.find(_END_OF_HEAD)
        if end < 0 or len(self._buffer) < end + len(_END_OF_HEAD) + _length(self._buffer, end):
            return
        answer, self._buffer = self._buffer, b""
        if answer[_STATUS] not in _GOOD:
            self._fail(answer.decode(errors="replace")[:1500])
            return
        self._note(time.perf_counter() - self._sent)
        self._send()

    def connection_lost(self, exc: Exception | None) -> None:
        self._fail(f"the connection was lost: {exc}")

    def _send(self) -> None:
        request = self._ask()
        assert self._transport is not None, "it is connected"  # noqa: S101
        if request is None:
            self.done.set_result(None)
            self._transport.close()
            return
        self._sent = time.perf_counter()
        self._transport.write(request)

    def _fail(self, what: str) -> None:
        if not self.done.done():
            self.done.set_exception(UnexpectedAnswerError(what))


def _length(buffer: bytes, end: int) -> int:
    at = buffer.find(_LENGTH, 0, end)
    return 0 if at < 0 else int(buffer[at + len(_LENGTH) : buffer.index(b"\r", at)])


class _Load:
    """One cell's load, its clock and its notes."""

    def __init__(self, plan: Plan, make: Callable[[], bytes], usage: Callable[[], Usage]) -> None:
        self._plan = plan
        self._make = make
        self._usage = usage
        self._is_noting = self._is_over = False
        self.measured = Measured()

    async def run(self, port: int) -> Measured:
        loop = asyncio.get_running_loop()
        made = [
            (await loop.create_connection(self._connection, "127.0.0.1", port))[1]
            for _ in range(self._plan.connections)
        ]
        loop.call_later(self._plan.warm, self._begin)
        loop.call_later(self._plan.warm + self._plan.seconds, self._end)
        async with asyncio.timeout(self._plan.warm + self._plan.seconds + _PATIENCE):
            await asyncio.gather(*(connection.done for connection in made))
        return self.measured

    def _connection(self) -> _Connection:
        return _Connection(lambda: None if self._is_over else self._make(), self._note)

    def _begin(self) -> None:
        self._is_noting = True
        self._started, self._before = time.perf_counter(), self._usage()

    def _end(self) -> None:
        self._is_noting, self._is_over = False, True
        self.measured.usage = self._usage().since(self._before)
        self.measured.seconds = time.perf_counter() - self._started

    def _note(self, latency: float) -> None:
        if self._is_noting:
            self.measured.latencies.append(latency)


async def measure(
    port: int, plan: Plan, make: Callable[[], bytes], usage: Callable[[], Usage]
) -> Measured:
    """Load a server as planned; `usage` reads what its process has used.

    Raises:
        UnexpectedAnswerError: an answer other than 200 and 201, or a lost connection.
    """
    return await _Load(plan, make, usage).run(port)


async def ask_in_turn(port: int, times: int, make: Callable[[], bytes]) -> None:
    """Send some requests one after the other, on one connection."""
    requests = (make() for _ in range(times))
    latencies: list[float] = []
    _, asking = await asyncio.get_running_loop().create_connection(
        lambda: _Connection(lambda: next(requests, None), latencies.append), "127.0.0.1", port
    )
    await asking.done
