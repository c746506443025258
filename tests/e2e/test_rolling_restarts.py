"""Two instances are restarted in turn, under load, and nobody notices."""

import asyncio
import os
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import asyncpg

from neonkit.local import LocalServer
from support.balancer import Balancer
from support.outside import Served, serving

RESTARTS = int(os.environ.get("NEONKIT_RESTARTS", "2"))
APP = """
from fastapi import BackgroundTasks, FastAPI
from sqlalchemy import text
import neonkit

app = FastAPI()
neonkit.install(app)
COUNT = text("UPDATE visits SET n = n + 1 RETURNING n")

@app.get("/visits")
async def visits(session: neonkit.ReadSessionDep) -> int:
    connection = await session.connection()
    return (await connection.execute(text("SELECT n FROM visits"))).scalar_one()

@app.post("/visits")
async def visit(database: neonkit.DatabaseDep, tasks: BackgroundTasks) -> int:
    tasks.add_task(count_later, database)
    return (await database.execute(COUNT)).scalar_one()

async def count_later(database):
    import asyncio
    await asyncio.sleep(0.3)
    await database.execute(COUNT)
"""
GET = b"GET /visits HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /visits HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"


class _Instance:
    """One of the two, on a port of its own after each start."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url
        self._stack = ExitStack()
        folder.mkdir()
        (folder / "visits_app.py").write_text(APP)

    async def start(self, balancer: Balancer) -> None:
        """Start it, and wait until the balancer has seen it."""
        self.served: Served = self._stack.enter_context(
            serving(
                self._folder,
                "neonkit",
                "serve",
                "visits_app:app",
                ENVIRONMENT="development",
                NEON_DATABASE_URL=self._url,
                DRAIN_SECONDS="1",
            )
        )
        self.port = int(self.served.url.rpartition(":")[2])
        balancer.ready[self.port] = False
        async with asyncio.timeout(60):
            while not balancer.ready[self.port]:  # noqa: ASYNC110  # it asks by itself
                await asyncio.sleep(0.05)

    async def stop(self, balancer: Balancer) -> None:
        """Ask it to end, and see that it ended well."""
        await asyncio.to_thread(self._stack.close)
        assert self.served.process.returncode == 0, self.served.output.read_text()[-2000:]
        del balancer.ready[self.port]


async def test_rolling_restarts(tmp_path: Path) -> None:
    """No request fails, each write and each background task happened once, and ends are told.

    `NEONKIT_RESTARTS=20` makes the run long.
    """
    server = await LocalServer.start(tmp_path / "postgres", is_durable=False)
    statuses: Counter[tuple[bytes, int]] = Counter()
    balancer, has_ended = Balancer(), asyncio.Event()

    async def visit() -> None:
        while not has_ended.is_set():
            for request in (GET, POST):
                statuses[request, await balancer.ask(request)] += 1
                await asyncio.sleep(0.02)

    await _execute(server.url, "CREATE TABLE visits AS SELECT 0 AS n")
    watching = asyncio.create_task(balancer.watch())
    instances = [_Instance(tmp_path / name, server.url) for name in ("left", "right")]
    try:
        await asyncio.gather(*(instance.start(balancer) for instance in instances))
        visiting = [asyncio.create_task(visit()) for _ in range(6)]
        for number in range(RESTARTS):
            instance = instances[number % 2]
            await instance.stop(balancer)
            await instance.start(balancer)
        has_ended.set()
        await asyncio.gather(*visiting)
    finally:
        await asyncio.gather(*(instance.stop(balancer) for instance in instances))
        watching.cancel()
        balancer.close()
    assert {status for _, status in statuses} == {200}
    assert balancer.closes_told > 0
    assert await _execute(server.url, "SELECT n FROM visits") == 2 * statuses[POST, 200]
    await server.stop()


async def _execute(url: str, statement: str) -> int | None:
    connection = await asyncpg.connect(url)
    try:
        value: int | None = await connection.fetchval(statement)
        return value
    finally:
        await connection.close()
