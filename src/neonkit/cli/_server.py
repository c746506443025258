"""One server process: uvicorn, with an end that no request notices."""

import asyncio
import gc
import logging
import multiprocessing
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import NoReturn

import uvicorn

from neonkit.cli._http_protocol import ConnectionPolicy, connections_within, http_protocol
from neonkit.cli._imports import imported_for_good
from neonkit.cli._server_policy import ServerPolicy
from neonkit.errors import ConfigurationError
from neonkit.observe import configure_logging
from neonkit.web import draining

_log = logging.getLogger("neonkit")

_KEEP_ALIVE = 75  # seconds; the common balancers close an idle connection after 60
_ALLOCATIONS = 10_000  # containers more than were freed, from one collection to the next
_CLOSING = 2.0  # seconds of SHUTDOWN_TIMEOUT that are kept for closing the database


class Server(uvicorn.Server):
    """uvicorn's server, which drains.

    SIGTERM or SIGINT: readiness says 503 and answers carry `Connection: close` at once, while
    new requests are served for `drain_seconds` more; then it stops listening, running requests
    finish, and the process exits with 0. A second signal ends the wait for new requests, a
    third drops the running ones. After `shutdown_timeout` the process ends whatever happens,
    with exit code 1.

    Where the process was started by another one of ours and that one dies, it stops as well.

    Args:
        app: what to serve.
        policy: how.
        on_ready: called once it listens and the app has started.
    """

    def __init__(
        self, app: Callable[..., object], policy: ServerPolicy, on_ready: Callable[[], None]
    ) -> None:
        super().__init__(_config(app, policy))
        self._policy = policy
        self._on_ready = on_ready
        self._closes_at = float("inf")
        self._ends_at = float("inf")

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start the app's lifespan, then listen."""
        self._watch_parent()
        await super().startup(sockets)
        if not self.should_exit:
            _spare_the_app()
            self._on_ready()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle the signals for the block, without raising them again after it: exit 0."""
        handlers = {
            signal.SIGINT: signal.SIG_IGN if _is_child() else self.handle_exit,
            signal.SIGTERM: self.handle_exit,
            signal.SIGALRM: self._give_up,
        }
        previous = {number: signal.signal(number, new) for number, new in handlers.items()}
        try:
            yield
        finally:
            signal.setitimer(signal.ITIMER_REAL, 0)
            for number, old in previous.items():
                signal.signal(number, old)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:  # noqa: ARG002  # uvicorn's signature
        """Begin the end, or hurry it."""
        if not draining.has_begun:
            self._begin_end()
        elif not self.should_exit:
            self.should_exit = True
        else:
            self.force_exit = True

    def _begin_end(self) -> None:
        draining.begin()
        now = time.monotonic()
        self._closes_at = now + self._policy.drain_seconds
        self._ends_at = now + self._policy.shutdown_timeout
        signal.setitimer(signal.ITIMER_REAL, self._policy.shutdown_timeout)
        if not self.started or self._policy.drain_seconds <= 0:
            self.should_exit = True
        else:  # from the loop, because a signal handler may have interrupted the log itself
            asyncio.get_running_loop().call_soon_threadsafe(
                _log.info, "draining: new requests are served for %g s", self._policy.drain_seconds
            )

    def _give_up(self, _number: int, _frame: FrameType | None) -> NoReturn:
        _log.error(
            "shutdown took longer than SHUTDOWN_TIMEOUT (%g s); the rest is dropped",
            self._policy.shutdown_timeout,
        )
        os._exit(1)

    async def on_tick(self, counter: int) -> bool:
        """Stop listening when the time has come; called every 0.1 s."""
        if time.monotonic() >= self._closes_at:
            self.should_exit = True
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Stop listening, let running requests finish, then end the app's lifespan."""
        left = self._ends_at - time.monotonic()
        patience = max(left - _CLOSING, left / 2, 0.0)
        self.config.timeout_graceful_shutdown = patience  # type: ignore[assignment]  # a float will do
        await super().shutdown(sockets)

    def _watch_parent(self) -> None:
        parent = multiprocessing.parent_process()
        if parent is not None:
            loop, sentinel = asyncio.get_running_loop(), parent.sentinel

            def stop() -> None:
                loop.remove_reader(sentinel)
                if not draining.has_begun:
                    self._begin_end()
                self.should_exit = True

            loop.add_reader(sentinel, stop)


def run_server(policy: ServerPolicy, listener: socket.socket, on_ready: Callable[[], None]) -> bool:
    """Import the app and serve it in this process, until a signal ends it.

    Returns:
        Whether it started, and ended as asked.

    Raises:
        ConfigurationError: there is no such app, or its settings are wrong.
    """
    configure_logging(policy.log_level, policy.log_format)
    try:
        with imported_for_good():
            app = policy.app.load()
    except ConfigurationError:
        raise
    except Exception:  # noqa: BLE001  # whatever a module raises when it is imported
        _log.exception("the app %s cannot be imported", policy.app.name)
        return False
    server = Server(app, policy, on_ready)
    with suppress(SystemExit):  # uvicorn's word for a lifespan that failed; it has logged why
        server.run([listener])
    return server.started


def _spare_the_app() -> None:
    """Leave what the app has built out of garbage collections: a full one took 50 ms.

    What is left is requests on their way, which are no garbage: look for some less often.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(_ALLOCATIONS)


def _is_child() -> bool:
    """Look for a parent of ours, which passes signals on; Ctrl-C reaches all of a terminal."""
    return multiprocessing.parent_process() is not None


def _config(app: Callable[..., object], policy: ServerPolicy) -> uvicorn.Config:
    connections = ConnectionPolicy(
        most_connections=connections_within(), has_hsts=policy.is_production
    )
    return uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=bool(policy.trusted_proxies),
        forwarded_allow_ips=list(policy.trusted_proxies),
        timeout_keep_alive=_KEEP_ALIVE,
        http=http_protocol(connections),  # type: ignore[arg-type]  # it is called, as a class would be
        workers=1,
    )
