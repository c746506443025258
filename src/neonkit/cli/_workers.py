"""Several server processes behind one socket, and the process that keeps them."""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from multiprocessing import get_context
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from typing import NoReturn

from neonkit.cli._server_policy import ServerPolicy
from neonkit.cli._server_process import serve_for_parent
from neonkit.errors import ConfigurationError
from neonkit.observe import forget_worker

_log = logging.getLogger("neonkit")

_spawn = get_context("spawn")
_PAUSE = 1.0  # seconds before a worker that ended is replaced, so that a crash loop stays cheap
_GRACE = 1.0  # seconds after SHUTDOWN_TIMEOUT, in which workers end themselves


class Workers:
    """Starts server processes, replaces one that dies, and passes the signal to end on.

    Args:
        policy: how each of them runs.
        listener: the socket that they share.
        count: how many.
        on_ready: called once all of them serve.
    """

    def __init__(
        self,
        policy: ServerPolicy,
        listener: socket.socket,
        count: int,
        on_ready: Callable[[], None],
    ) -> None:
        self._policy = policy
        self._listener = listener
        self._missing = count
        self._on_ready = on_ready
        self._running: set[SpawnProcess] = set()
        self._has_begun = False
        self._is_ending = False
        self._has_failed = False
        self._refusal: str | None = None

    async def run(self) -> bool:
        """Keep them until SIGTERM or SIGINT, then until the last one has ended.

        Returns:
            Whether all of them ended well.

        Raises:
            ConfigurationError: a worker refused to start.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.end)
        async with asyncio.TaskGroup() as group:
            for _ in range(self._missing):
                group.create_task(self._keep_one())
        if self._refusal is not None:
            raise ConfigurationError(self._refusal)
        return not self._has_failed

    def end(self) -> None:
        """Send SIGTERM to each: the first begins the drain, further ones hurry it."""
        if not self._is_ending:
            self._is_ending = True
            self._listener.close()
            patience = self._policy.shutdown_timeout + _GRACE
            asyncio.get_running_loop().call_later(patience, self._signal, signal.SIGKILL)
        self._signal(signal.SIGTERM)

    def _signal(self, number: int) -> None:
        for process in self._running:
            if process.pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(process.pid, number)

    async def _keep_one(self) -> None:
        is_first = True
        while not self._is_ending:
            process, channel = self._start()
            has_started = await self._has_started(channel, is_first=is_first)
            await _readable(process.sentinel)
            process.join()
            self._running.discard(process)
            if process.pid is not None:
                forget_worker(process.pid)
            self._judge(process, has_started=has_started, is_first=is_first)
            if has_started:
                is_first = False
            if not self._is_ending:
                await asyncio.sleep(_PAUSE)

    def _start(self) -> tuple[SpawnProcess, Connection]:
        receiver, sender = _spawn.Pipe(duplex=False)
        process = _spawn.Process(
            target=_work,
            args=(self._policy, self._listener, sender),
            kwargs={"is_first": not self._has_begun},
        )
        self._has_begun = True
        process.start()
        self._running.add(process)
        sender.close()
        return process, receiver  # pyright: ignore[reportReturnType]  # Windows has another one

    async def _has_started(self, channel: Connection, *, is_first: bool) -> bool:
        """Wait for the worker's only message: `None` once it serves, or why it will not."""
        with channel:
            await _readable(channel.fileno())
            try:
                refusal: str | None = channel.recv()
            except EOFError:
                return False
        if refusal is not None:
            if is_first:
                self._refusal = refusal
            return False
        if is_first:
            self._missing -= 1
            if not self._missing:
                self._on_ready()
        return True

    def _judge(self, process: SpawnProcess, *, has_started: bool, is_first: bool) -> None:
        if self._is_ending:
            has_obeyed = process.exitcode in (0, -signal.SIGTERM)  # the latter while it started
            self._has_failed = self._has_failed or not has_obeyed
        elif is_first and not has_started:
            self._has_failed = True
            self.end()
        else:
            _log.error(
                "worker %s ended with exit code %s; starting another", process.pid, process.exitcode
            )


async def _readable(descriptor: int) -> None:
    loop, event = asyncio.get_running_loop(), asyncio.Event()
    loop.add_reader(descriptor, event.set)
    try:
        await event.wait()
    finally:
        loop.remove_reader(descriptor)


def _work(
    policy: ServerPolicy, listener: socket.socket, channel: Connection, *, is_first: bool
) -> NoReturn:
    """Serve, in a process of its own; the first one speaks for all of what they all would say."""
    logging.getLogger("neonkit.settings").disabled = not is_first
    serve_for_parent(policy, listener, partial(channel.send, None), channel.send)
