"""The app behind a real port, for tests in which bytes, commits and connections are real."""

import asyncio
import socket
from collections.abc import Callable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import uvicorn
from fastapi import FastAPI
from sqlalchemy.ext.asyncio import AsyncEngine

from neonkit.db import Database, Driver, create_engine
from neonkit.dsn import Dsn
from neonkit.local import address_of, open_listener
from neonkit.testing._app_lifespan import running

_GRACE = 2  # seconds that requests still running at the test's end have to finish
_TICK = 0.002  # seconds between looks whether they have


@dataclass(frozen=True)
class LiveServer:
    """The app on a TCP port of this machine.

    Attributes:
        url: such as `http://127.0.0.1:41123`, without a slash at the end.
    """

    url: str


LiveServer.__module__ = "neonkit.testing"  # that room imports nothing, so it shows no names


@contextmanager
def serving(app: FastAPI, dsn: Dsn, driver: Driver) -> Iterator[LiveServer]:
    """Serve the app for the block, on a free port of 127.0.0.1, with the database at `dsn`.

    The server has a thread and an event loop of its own: a test may block (a browser, a
    subprocess, a client without async) while the server answers.
    """
    with (
        open_listener("127.0.0.1", 0) as listener,
        ThreadPoolExecutor(1, thread_name_prefix="neonkit-live-server") as thread,
    ):
        started: Future[Callable[[], object]] = Future()
        engine = create_engine(dsn, driver=driver)
        life = thread.submit(lambda: asyncio.run(_serve(app, engine, listener, started)))
        either: set[Future[Any]] = {life, started}
        wait(either, return_when=FIRST_COMPLETED)
        if life.done():
            life.result()
        stop = started.result()
        try:
            yield LiveServer(address_of(listener))
        finally:
            stop()
            life.result()


async def _serve(
    app: FastAPI,
    engine: AsyncEngine,
    listener: socket.socket,
    started: Future[Callable[[], object]],
) -> None:
    async with Database(engine) as database, running(app, database) as asgi:
        config = uvicorn.Config(asgi, interface="asgi3", lifespan="off", log_config=None)
        await _Server(config, started).serve([listener])


class _Server(uvicorn.Server):
    """Uvicorn's server, which says when it is ready and stops without waiting for a tick."""

    def __init__(self, config: uvicorn.Config, started: Future[Callable[[], object]]) -> None:
        super().__init__(config)
        self._started = started

    async def main_loop(self) -> None:
        """Say so, and wait to be told to stop."""
        loop, may_stop = asyncio.get_running_loop(), asyncio.Event()
        await self.on_tick(0)
        self._started.set_result(lambda: loop.call_soon_threadsafe(may_stop.set))
        await may_stop.wait()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """End as uvicorn does, without its pauses of 0.1 s: they are most of what a test costs."""
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        with suppress(TimeoutError):
            async with asyncio.timeout(_GRACE):
                while self.server_state.connections or self.server_state.tasks:  # noqa: ASYNC110  # uvicorn's, which have none
                    await asyncio.sleep(_TICK)
        for task in self.server_state.tasks:
            task.cancel()
