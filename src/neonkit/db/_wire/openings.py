"""Openings: connections that are being opened, for whoever waits longest.

An attempt belongs to nobody. A request whose time is up leaves it running for the next one, so a
database that takes its time to wake is not connected to again and again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Awaitable, Callable
from contextlib import suppress
from contextvars import Context
from typing import Generic, TypeVar

from neonkit.db._backoff import Backoff
from neonkit.db._faults.classification import fault_of
from neonkit.db._policies import TimeoutPolicy
from neonkit.db._scope import current_scope
from neonkit.db._wire.driver_connection import DriverConnection
from neonkit.db._wire.observed_health import ObservedHealth
from neonkit.db._wire.outages import Outage

Link = TypeVar("Link", bound=DriverConnection)

_FIRST_PAUSE = 0.02
_LONGEST_PAUSE = 0.5
_ORDINARY = 0.25  # seconds that opening a connection takes at most where nothing has to wake up
_SPARE_SECONDS = 60.0
IN_VAIN = "no connection could be opened in time"


class Openings(Generic[Link]):
    """Opens a connection for each who waits, as many at once; one at a time in an outage.

    Args:
        attempt: tries once.
        timeouts: without a deadline of its own, a wait is bounded by `request`.
        outage: whether the last attempt failed.
        health: where a wait in vain and a wake-up are noted.
    """

    def __init__(
        self,
        attempt: Callable[[], Awaitable[Link]],
        timeouts: TimeoutPolicy,
        outage: Outage,
        health: ObservedHealth,
    ) -> None:
        self._attempt = attempt
        self._timeouts = timeouts
        self._outage = outage
        self._health = health
        self._waiting: deque[asyncio.Future[Link]] = deque()
        self._running: set[asyncio.Task[None]] = set()
        self._spare: deque[tuple[float, Link]] = deque()
        self._failure: Exception | None = None
        self._waited_for_since: float | None = None

    @property
    def waiting(self) -> int:
        """How many wait for a connection."""
        return len(self._waiting)

    async def take(self) -> Link:
        """Wait for a connection, until the scope's deadline.

        Raises:
            Exception: the last attempt's own, unchanged; at once where waiting cannot mend it.
            TimeoutError: the time is up, and no attempt has ended.
        """
        spare = self._take_spare()
        if spare is not None:
            return spare
        waiter: asyncio.Future[Link] = asyncio.get_running_loop().create_future()
        self._waiting.append(waiter)
        self._start()
        began, remaining = time.monotonic(), current_scope().remaining()
        try:
            async with asyncio.timeout(self._timeouts.request if remaining is None else remaining):
                return await waiter
        except BaseException as error:
            if waiter.done() and not waiter.cancelled() and waiter.exception() is None:
                self._hand_on(waiter.result())
            if not isinstance(error, TimeoutError):
                raise
            self._health.is_failing = True
            raise self._failure or TimeoutError(IN_VAIN) from None
        finally:
            with suppress(ValueError):
                self._waiting.remove(waiter)
            self._health.witness.count_wait("connect", time.monotonic() - began)

    def close(self) -> None:
        """Give up all attempts, and close what nobody has taken."""
        for task in self._running:
            task.cancel()
        while self._spare:
            self._spare.pop()[1].terminate()

    def _take_spare(self) -> Link | None:
        while self._spare:
            opened, link = self._spare.pop()
            if time.monotonic() - opened < _SPARE_SECONDS and not link.is_closed():
                return link
            link.terminate()
        return None

    def _start(self) -> None:
        """Have as many attempts run as are needed; a single one finds out whether it is back."""
        if self._waiting and self._waited_for_since is None:
            self._waited_for_since = time.monotonic()
        wanted = min(len(self._waiting), 1) if self._outage.is_on else len(self._waiting)
        while len(self._running) < wanted:
            # in a context of its own: it outlives the request whose wait began it
            task = asyncio.get_running_loop().create_task(self._open(), context=Context())
            self._running.add(task)

    async def _open(self) -> None:
        try:
            link = await self._open_patiently()
        finally:
            self._running.discard(asyncio.current_task())
        if link is not None:
            self._note_success()
            self._hand_on(link)
            self._start()

    async def _open_patiently(self) -> Link | None:
        """Try until it succeeds, waiting cannot mend it, or nobody needs this attempt any more."""
        backoff = Backoff(_FIRST_PAUSE, _LONGEST_PAUSE)
        while True:
            try:
                return await self._attempt()
            except Exception as error:  # noqa: BLE001  # handed to who waits
                fault = fault_of(error)
                if fault is None or not fault.is_transient:
                    self._fail(error)
                    return None
                self._failure = error
            self._health.witness.count_retry(fault.kind.value)
            await asyncio.sleep(backoff.pause() or 0.0)
            if not self._waiting or (self._outage.is_on and len(self._running) > 1):
                return None

    def _fail(self, error: Exception) -> None:
        waiting, self._waiting = self._waiting, deque()
        self._waited_for_since = None
        for waiter in waiting:
            if not waiter.done():
                waiter.set_exception(error)

    def _note_success(self) -> None:
        since, self._waited_for_since, self._failure = self._waited_for_since, None, None
        if since is not None and time.monotonic() - since > _ORDINARY:
            self._health.note_wakeup(time.monotonic() - since)

    def _hand_on(self, link: Link) -> None:
        while self._waiting:
            waiter = self._waiting.popleft()
            if not waiter.done():
                waiter.set_result(link)
                return
        self._spare.append((time.monotonic(), link))
