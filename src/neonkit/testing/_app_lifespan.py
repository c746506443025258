"""An app that runs for one test: through its lifespan, on the test's database."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager

from fastapi import FastAPI
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neonkit.db import Database
from neonkit.errors import ConfigurationError
from neonkit.web import Runtime

_ASGI = {"version": "3.0", "spec_version": "2.0"}


@asynccontextmanager
async def running(app: FastAPI, database: Database) -> AsyncIterator[ASGIApp]:
    """Run the app's lifespan around the block; its requests go to `database`.

    Yields:
        the app, to send requests to: they see what the lifespan put into the state.
    """
    with _lend(app, database):
        async with _lifespan(app) as state:

            async def with_state(scope: Scope, receive: Receive, send: Send) -> None:
                await app({**scope, "state": state.copy()}, receive, send)

            yield with_state


@contextmanager
def _lend(app: FastAPI, database: Database) -> Iterator[None]:
    """Give the app another database for the block."""
    runtime: Runtime | None = getattr(app.state, "neonkit", None)
    if runtime is None:
        raise ConfigurationError(
            "the app under test has no neonkit, so its requests cannot be sent to the test's "
            "database: call `neonkit.install(app)` where it is made"
        )
    usual, runtime.database = runtime.database, database
    runtime.is_under_test = True
    try:
        yield
    finally:
        runtime.database, runtime.is_under_test = usual, False


@asynccontextmanager
async def _lifespan(app: ASGIApp) -> AsyncIterator[dict[str, object]]:
    """Start the app and stop it as a server does: in one task, which nobody else shares.

    Whatever a lifespan enters, a task group or a context variable, it leaves in the same task,
    and the test is not inside of it.
    """
    state: dict[str, object] = {}
    is_settled, may_stop = asyncio.Event(), asyncio.Event()
    messages = iter(("lifespan.startup", "lifespan.shutdown"))

    async def receive() -> Message:
        if is_settled.is_set():
            await may_stop.wait()
        return {"type": next(messages)}

    async def send(message: Message) -> None:
        if message["type"] == "lifespan.startup.complete":
            is_settled.set()

    async def live() -> None:
        try:
            await app({"type": "lifespan", "asgi": _ASGI, "state": state}, receive, send)
        finally:
            is_settled.set()

    life = asyncio.create_task(live())
    try:
        await is_settled.wait()
        if life.done():
            life.result()
        yield state
    finally:
        may_stop.set()
        await life
