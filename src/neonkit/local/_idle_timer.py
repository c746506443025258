"""A timer that goes off when a database has not been used for some time."""

import asyncio
from collections.abc import Callable


class IdleTimer:
    """Tells when nothing has been used for so many seconds, in the event loop that made it.

    Args:
        is_busy: says that something is used right now.
        tell: the callback, once per idle period.
    """

    def __init__(self, is_busy: Callable[[], bool], tell: Callable[[], None]) -> None:
        self._is_busy = is_busy
        self._tell = tell
        self._loop = asyncio.get_running_loop()
        self._last_use = self._loop.time()
        self._seconds: float | None = None
        self._alarm: asyncio.TimerHandle | None = None

    def note_use(self) -> None:
        """It was used just now."""
        self._last_use = self._loop.time()

    def tell_after(self, seconds: float | None) -> None:
        """Tell after that time from now on; never, for `None`."""
        if self._alarm:
            self._alarm.cancel()
        self._seconds = seconds
        self.note_use()
        self._look()

    def _look(self) -> None:
        if self._seconds is None:
            return
        if self._is_busy():
            self.note_use()
        left = self._last_use + self._seconds - self._loop.time()
        if left <= 0:
            self._tell()
            self.note_use()
            left = self._seconds
        self._alarm = self._loop.call_later(left, self._look)
