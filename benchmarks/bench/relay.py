"""A process between servers and PostgreSQL that makes each round trip longer.

`python -m benchmarks.bench.relay PORT MILLISECONDS` leads to 127.0.0.1:PORT, and prints its own.
The delay is all on the way there, so that a timer's error comes once in a round trip. It does
nothing else: it costs a tenth of the proxy that also understands what passes.
"""

import asyncio
import sys
import time
from collections import deque
from typing import cast

import uvloop

_TICK = 0.001  # seconds; the resolution of uvloop's timers


class _End(asyncio.Protocol):
    """One end of a connection: what arrives here leaves at `other`, `delay` seconds later."""

    def __init__(self, delay: float) -> None:
        self._delay = delay
        self._waiting: deque[tuple[float, bytes]] = deque()
        self._loop = asyncio.get_running_loop()
        self.transport: asyncio.Transport | None = None
        self.other: _End | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is no subclass

    def data_received(self, data: bytes) -> None:
        self._waiting.append((time.perf_counter() + self._delay, data))
        if not self._delay:
            self._deliver()
        elif len(self._waiting) == 1:
            self._loop.call_later(self._delay, self._deliver)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002  # asyncio's signature
        if self.other is not None and self.other.transport is not None:
            self.other.transport.close()

    def _deliver(self) -> None:
        there = self.other and self.other.transport
        while there and self._waiting and self._waiting[0][0] <= time.perf_counter():
            there.write(self._waiting.popleft()[1])
        if self._waiting:
            left = self._waiting[0][0] - time.perf_counter()
            self._loop.call_later(max(left, _TICK), self._deliver)


class _Client(_End):
    """The accepted end; it opens the other one."""

    def __init__(self, port: int, delay: float) -> None:
        super().__init__(delay)
        self._port = port

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._opening = self._loop.create_task(self._open())

    async def _open(self) -> None:
        _, server = await self._loop.create_connection(lambda: _End(0.0), "127.0.0.1", self._port)
        self.other, server.other = server, self


async def serve(port: int, delay: float) -> None:
    """Relay until the process ends."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: _Client(port, delay), "127.0.0.1", 0)
    print(server.sockets[0].getsockname()[1], flush=True)  # noqa: T201  # how it answers
    await server.serve_forever()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), float(sys.argv[2]) / 1000))
