"""A balancer as plain as can be: it honours readiness, and never sends a request twice."""

import asyncio
import itertools
from collections import defaultdict

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

POLLING = 0.2  # seconds


class Balancer:
    """Sends each request to the next instance that is ready.

    An idle connection that was closed before the first byte of an answer is replaced; nothing else
    is tried again.
    """

    def __init__(self) -> None:
        self.ready: dict[int, bool] = {}
        self.closes_told = 0
        self._turns = itertools.count()
        self._kept: defaultdict[int, list[Streams]] = defaultdict(list)

    async def watch(self) -> None:
        """Ask each instance again and again whether it is ready."""
        while True:
            for port in list(self.ready):
                status = await self._send(port, b"GET /health/ready HTTP/1.1\r\nHost: x\r\n\r\n")
                self.ready[port] = status == 200
            await asyncio.sleep(POLLING)

    async def ask(self, request: bytes) -> int:
        """The status of the answer; 0 where there is none."""
        ports = [port for port, is_ready in self.ready.items() if is_ready]
        return await self._send(ports[next(self._turns) % len(ports)], request) if ports else 0

    async def _send(self, port: int, request: bytes) -> int:
        if self._kept[port]:
            streams = self._kept[port].pop()
            if first := await _first_byte(streams, request):
                return await self._read(port, first, streams)
        try:
            streams = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            return 0
        first = await _first_byte(streams, request)
        return await self._read(port, first, streams) if first else 0

    async def _read(self, port: int, first: bytes, streams: Streams) -> int:
        head = (first + await streams[0].readuntil(b"\r\n\r\n")).lower()
        await streams[0].readexactly(int(head.partition(b"content-length:")[2].split(b"\r\n")[0]))
        if b"connection: close" in head:
            self.closes_told += 1
            streams[1].close()
        else:
            self._kept[port].append(streams)
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        """Close what is kept."""
        for _, writer in itertools.chain(*self._kept.values()):
            writer.close()


async def _first_byte(streams: Streams, request: bytes) -> bytes:
    """Send a request; nothing where the connection was closed before its answer."""
    reader, writer = streams
    try:
        writer.write(request)
        first = await reader.read(1)
    except OSError:
        first = b""
    if not first:
        writer.close()
    return first
