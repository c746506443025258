"""What bad clients cost the others: `python benchmarks/connections.py [SOCKETS]`.

Serves the starter by `neonkit serve`, first to honest readers of a page of several megabytes, then
to 1,000 sockets that are silent, slow, or do not read that page, and to one header of 80 MiB.
Prints the memory of the process and the latency of another client, before and meanwhile, and when
the last of the sockets was closed; the usual 1,000 also go to `benchmarks/results/connections.md`.
Takes three minutes. Exit code 1 where memory grows by more than 50 MB, where the other client's
99th percentile grows by more than 50 ms, or where a socket is open for two minutes.
"""

import asyncio
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import insert

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from neonkit import Database, create_engine  # after the path
from neonkit.local import LocalServer
from neonkit_starter.posts.models import Post
from neonkit_starter.users.models import User
from support.production import Production, many_files, p99, serving, where_and_when

SOCKETS = 1_000
MOST_MEMORY, MOST_LATENCY, MOST_SECONDS = 50.0, 50.0, 120.0
RESULT = Path(__file__).parent / "results" / "connections.md"
TEXT = """\
# What bad clients cost the others

`python benchmarks/connections.py`: {machine}, which others may have used as well.

| | before | meanwhile | more | at most |
|---|---|---|---|---|
{rows}

{sockets} sockets, a quarter each: silent; half a head; a body that never comes; a page of 5.7 MB
that is never read. At the same time one header of 80 MiB, and another client that reads one post
1,000 times, one after the other.
"""
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
_READERS = 2
_ENDLESS = b"GET / HTTP/1.1\r\nX-Endless: "


@dataclass(frozen=True)
class Costs:
    """What was measured.

    Attributes:
        memory: megabytes, before and at most.
        latency: milliseconds, the other client's 99th percentile before and meanwhile.
        seconds: until the last socket was closed.
        left: how many were not.
    """

    memory: tuple[float, float]
    latency: tuple[float, float]
    seconds: float
    left: int

    def rows(self) -> list[tuple[str, ...]]:
        """A table of it."""
        return [
            _row("memory, MB", *self.memory, MOST_MEMORY),
            _row("another client's p99, ms", *self.latency, MOST_LATENCY),
            ("last socket closed, s", "", f"{self.seconds:.0f}", f"{self.left} open",
             f"{MOST_SECONDS:.0f}"),
        ]  # fmt: skip

    def is_too_much(self) -> bool:
        """True where a bound is broken."""
        memory = self.memory[1] - self.memory[0]
        latency = self.latency[1] - self.latency[0]
        return memory > MOST_MEMORY or latency > MOST_LATENCY or self.left > 0


def _row(name: str, before: float, meanwhile: float, most: float) -> tuple[str, ...]:
    figures = (before, meanwhile, meanwhile - before, most)
    return (name, *(f"{figure:.1f}" for figure in figures))


async def _fill(url: str) -> None:
    async with Database(create_engine(url)) as database, database.session() as session:
        user = User(username="ada", email="ada@example.com", hashed_password="-")  # noqa: S106  # nobody's
        session.add(user)
        await session.flush()
        post = {"author_id": user.id, "title": "Long", "content": "😀" * 14_000}
        await (await session.connection()).execute(insert(Post), [post] * 100)
        await session.commit()


async def _attack(served: Production, said: bytes) -> asyncio.StreamWriter | None:
    """Open a socket, say something, and never read."""
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # asyncio's type may only write
        writer.write(said)
        return writer
    return None


async def _send_endless_header(served: Production) -> None:
    with suppress(OSError):
        _, writer = await asyncio.open_connection("127.0.0.1", served.port)
        writer.write(_ENDLESS)
        for _ in range(80):
            writer.write(b"a" * (1 << 20))
            await writer.drain()


async def _measure(served: Production, sockets: int) -> Costs:
    for _ in range(2):  # what honest readers cost comes first
        await asyncio.gather(*(served.ask(_PAGE, times=3) for _ in range(_READERS)))
    usual, memory = p99(await served.ask(_POST, times=500)), served.memory
    watching = asyncio.create_task(served.watch())
    started, kinds = time.monotonic(), list(_KINDS.values())
    other = asyncio.create_task(served.ask(_POST, times=1000))
    held = [await _attack(served, kinds[at % len(kinds)]) for at in range(sockets)]
    await _send_endless_header(served)
    meanwhile = p99(await other)
    while served.held and time.monotonic() - started < MOST_SECONDS:  # noqa: ASYNC110  # the kernel tells nobody
        await asyncio.sleep(0.2)
    costs = Costs(
        (memory, served.peak), (usual, meanwhile), time.monotonic() - started, served.held
    )
    watching.cancel()
    for writer in filter(None, held):
        writer.transport.abort()
    return costs


async def _run(sockets: int) -> int:
    with many_files(), tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        async with (
            await LocalServer.start(place / "postgres", is_durable=False) as server,
            serving(place, server.url) as served,
        ):
            await _fill(server.url)
            costs = await _measure(served, sockets)
    table = Table("", "before", "meanwhile", "more", "at most")
    for row in costs.rows():
        table.add_row(*row)
    Console(width=100).print(table)
    if sockets == SOCKETS:
        rows = "\n".join(f"| {' | '.join(row)} |" for row in costs.rows())
        RESULT.write_text(TEXT.format(machine=where_and_when(), rows=rows, sockets=f"{sockets:,}"))
    return int(costs.is_too_much())


if __name__ == "__main__":
    sys.exit(asyncio.run(_run(int(sys.argv[1]) if len(sys.argv) > 1 else SOCKETS)))
