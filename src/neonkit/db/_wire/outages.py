"""Outages of the database: one line in the log when one begins, one when it ends."""

import logging
import time

from neonkit.db._faults.classification import Fault, fault_of
from neonkit.db._faults.sqlstates import words_of_refusal

_log = logging.getLogger("neonkit")

_AWAY = "the database is away (%s): requests wait for it until their deadlines"
_REFUSED = (
    "the database refuses connections (%s): requests are answered 503 until that is mended; "
    "`neonkit doctor` says how"
)
_PAUSE_AFTER_REFUSAL = 1.0  # seconds


class Outage:
    """The time from the first failed attempt to connect to the next one that succeeds.

    A failure that waiting cannot mend (a wrong password, a quota) is remembered for a second: who
    asks meanwhile is told the same, and nothing is sent.
    """

    def __init__(self) -> None:
        self._began: float | None = None
        self._is_final = False
        self._refusal: Exception | None = None
        self._asks_again = float("-inf")

    @property
    def is_on(self) -> bool:
        """True if no attempt has succeeded since the last one that failed."""
        return self._began is not None

    def refuse_hasty(self) -> None:
        """Raise the last final refusal again, as long as it is fresh."""
        if self._refusal is not None and time.monotonic() < self._asks_again:
            raise self._refusal.with_traceback(None)

    def begin(self, error: Exception) -> bool:
        """Note a failed attempt.

        Returns:
            whether waiting cannot mend it.
        """
        fault = fault_of(error)
        is_final = fault is None or not fault.is_transient
        if self._began is None or is_final > self._is_final:
            _log.log(
                logging.ERROR if is_final else logging.WARNING,
                _REFUSED if is_final else _AWAY,
                _reason(fault, error),
            )
        if self._began is None:
            self._began = time.monotonic()
        self._is_final = is_final
        if error is not self._refusal:
            self._refusal = error if is_final else None
            self._asks_again = time.monotonic() + _PAUSE_AFTER_REFUSAL
        return is_final

    def end(self) -> None:
        """Note an attempt that succeeded."""
        if self._began is not None:
            _log.info("the database is back after %.1f s", time.monotonic() - self._began)
        self._began = self._refusal = None
        self._is_final = False


def _reason(fault: Fault | None, error: Exception) -> str:
    """Name what went wrong in words of ours: a server's may hold names of hosts and roles."""
    if fault is None:
        return type(error).__name__
    return words_of_refusal(str(error)) or fault.kind.value
