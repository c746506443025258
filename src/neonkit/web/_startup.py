"""The start of an app: what must have been done before requests may come."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from typing import Literal

from neonkit.db import FaultKind, fault_of
from neonkit.errors import BehindError, MigrationError, NeonkitError

_log = logging.getLogger("neonkit")

_FIRST_PAUSE = 0.1
_LONGEST_PAUSE = 5.0
_FRESH_SECONDS = 10.0
_PATIENCE = 1.5


class Startup:
    """Does what an app's start needs, and tells whether that is over.

    A database that is away is tried again and again. Where only its tables are behind this release,
    nothing is sent that nobody asks for: whoever asks has them looked at again, at most every 10 s.

    Args:
        look_at_tables: connects, and raises where the tables are not what this release needs.
        finish: does the rest; it must bear being repeated.
        clock: seconds, from anywhere.

    Attributes:
        is_over: whether all of it was done.
        migrations: whether the tables are what this release needs; `unknown` before the first
            answer.
    """

    def __init__(
        self,
        look_at_tables: Callable[[], Awaitable[None]],
        finish: Callable[[], Awaitable[None]],
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.is_over = False
        self.migrations: Literal["ok", "failed", "unknown"] = "unknown"
        self._look_at_tables = look_at_tables
        self._finish = finish
        self._clock = clock
        self._tried = float("-inf")
        self._said = ""
        self._is_behind = False
        self._again: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Try until it is over, or until only the tables are behind."""
        pause = _FIRST_PAUSE
        await self._try()
        while not (self.is_over or self._is_behind):
            await asyncio.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE)
            await self._try()

    async def look(self) -> bool:
        """Tell within 2 s whether it is over; tables that are behind are looked at again."""
        if self._is_behind and self._clock() - self._tried >= _FRESH_SECONDS:
            self._again = self._again or asyncio.create_task(self._run_again())
        if self._again is not None:
            await asyncio.wait({self._again}, timeout=_PATIENCE)
        return self.is_over

    async def close(self) -> None:
        """End what still runs of it."""
        if self._again is not None:
            self._again.cancel()
            await asyncio.wait({self._again})

    async def _run_again(self) -> None:
        try:
            await self.run()
        finally:
            self._again = None

    async def _try(self) -> None:
        self._tried, self._is_behind = self._clock(), False
        try:
            await self._look_at_tables()
            self.migrations = "ok"
            await self._finish()
            self.is_over = True
        except Exception as error:  # noqa: BLE001  # said in the log and tried again
            self._is_behind = isinstance(error, BehindError)
            if isinstance(error, MigrationError):
                self.migrations = "failed"
            self._say(_reason(error))

    def _say(self, what: str) -> None:
        if what != self._said:
            again = "" if self._is_behind else "; trying again"
            _log.warning("the database is not ready (%s)%s", what, again)
        self._said = what


def _reason(error: Exception) -> str:
    if isinstance(error, NeonkitError):
        return str(error)
    fault = fault_of(error)
    if fault is None:
        return type(error).__name__
    if fault.kind is not FaultKind.DEFECT:
        return fault.kind.value
    from neonkit.migrations import reason_of  # Alembic, which most starts have no need of

    return reason_of(error)
