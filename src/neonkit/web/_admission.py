"""Admission: how many requests are begun at a time, and which ones are refused at the door.

An event loop that begins everything that came in one turn answers nobody, liveness included, before
it has turned round. So few requests are begun in each turn; the others wait in line, and once the
line is as long as can be answered in time, the next ones are refused, which costs next to nothing.
"""

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable
from functools import cache
from typing import Protocol

from starlette.types import Scope

from neonkit.errors import OverloadedError
from neonkit.web._problems import TABLE, document
from neonkit.web._request_ids import usable_request_id
from neonkit.web._security_headers import headers_of_refusal

_log = logging.getLogger("neonkit")

_BEGUN_IN_A_TURN = 2
_LONGEST_LINE = 1000
_MEASURED = 16  # requests that were answered, from which it is told how fast a line moves
_LONGEST_WAIT = 3.0  # seconds, of a burst: POOL_TIMEOUT is 5 by default
_LONGEST_WAIT_IN_OVERLOAD = 0.15  # seconds: a longer line serves nobody more, and all later
_CALM = 1.0  # seconds without a refusal, after which an overload is over
_ALWAYS_LET_IN = ("/health/", "/metrics")  # whoever watches must see an overload
_ID = "0" * 32
_LET_IN = "neonkit.let_in"


class Line(Protocol):
    """A line that requests wait in further on, such as for a connection to the database."""

    @property
    def is_full(self) -> bool:
        """True if the next one would be refused there."""
        ...

    @property
    def waiting(self) -> int:
        """How many wait there, unless nothing moves at all."""
        ...

    @property
    def is_catching_up(self) -> bool:
        """True if what waits there waited for a wake-up, after which nobody is refused."""
        ...


class Admission:
    """The door of a process.

    Args:
        clock: seconds, from anywhere.

    Attributes:
        lines: where a request may have to wait once it has begun.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self.lines: set[Line] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._begin_again()

    def _begin_again(self) -> None:
        self._begun = self._expected = 0
        self._line: deque[asyncio.Future[None]] = deque()
        self._ended_at: deque[float] = deque(maxlen=2 * _MEASURED)  # since there is a line
        self._is_turning = False
        self._refused = 0
        self._refused_at = float("-inf")

    @property
    def is_closed(self) -> bool:
        """True if a request that comes now could not be answered in time."""
        return self._is_late() or any(line.is_full for line in self.lines)

    def refuses(self, path: str) -> bool:
        """Tell whether a request is to be refused, and count it where it is."""
        return self.is_closed and self.turns_away(path)

    def turns_away(self, path: str) -> bool:
        """The same of a door that is closed."""
        if path.startswith(_ALWAYS_LET_IN):
            return False
        self._note_refusal()
        return True

    @staticmethod
    def let_in(scope: Scope) -> None:
        """Spare a request, which a door before the app has let in, the judgement of the app's."""
        scope[_LET_IN] = True

    @staticmethod
    def has_let_in(scope: Scope) -> bool:
        """Tell whether it was."""
        return _LET_IN in scope

    def expect_one(self) -> None:
        """Count a request that is let in before its task has come to wait in line."""
        loop = asyncio.get_running_loop()
        if self._loop is loop:
            self._expected += 1
            if self._expected == 1:  # in the loop's next turn all of this one's have come
                loop.call_soon(self._expect_none)

    def _expect_none(self) -> None:
        self._expected = 0

    async def begin(self, path: str) -> None:
        """Wait for a turn of the event loop in which few have begun."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:  # of another run, such as a test's
            self._loop = loop
            self._begin_again()
        if path.startswith(_ALWAYS_LET_IN):
            return
        if self._begun < _BEGUN_IN_A_TURN and not self._line:
            self._begun += 1
            self._turn_soon()
            return
        turn: asyncio.Future[None] = loop.create_future()
        self._line.append(turn)
        await turn

    def end(self) -> None:
        """Note that a request which had begun is answered."""
        self._ended_at.append(self._clock())

    def _is_late(self) -> bool:
        """True if whoever comes last waits too long, as fast as requests are answered now."""
        if self._loop is not asyncio.get_running_loop():
            return False
        in_line = len(self._line) + self._expected
        waiting = in_line + sum(line.waiting for line in self.lines)
        if waiting < _MEASURED:
            self._ended_at.clear()
            return False
        if in_line >= _LONGEST_LINE or len(self._ended_at) < _MEASURED:
            return in_line >= _LONGEST_LINE
        pace = (self._clock() - self._ended_at[0]) / len(self._ended_at)
        longest = _LONGEST_WAIT_IN_OVERLOAD if self._refused else _LONGEST_WAIT
        return waiting * pace > longest and not any(line.is_catching_up for line in self.lines)

    def _turn_soon(self) -> None:
        if not self._is_turning and self._loop is not None:
            self._is_turning = True
            self._loop.call_soon(self._turn)

    def _turn(self) -> None:
        """Let the next few begin."""
        self._is_turning = False
        self._begun = 0
        while self._line and self._begun < _BEGUN_IN_A_TURN:
            turn = self._line.popleft()
            if not turn.done():
                turn.set_result(None)
                self._begun += 1
        if self._begun:
            self._turn_soon()

    def _note_refusal(self) -> None:
        """Say it once for an overload, and once when it is over."""
        self._refused += 1
        self._refused_at = self._clock()
        if self._refused == 1:
            _log.warning("overloaded: requests that could not be answered in time are refused")
            asyncio.get_running_loop().call_later(_CALM, self._see_calm)

    def _see_calm(self) -> None:
        left = self._refused_at + _CALM - self._clock()
        if left > 0:
            asyncio.get_running_loop().call_later(left, self._see_calm)
            return
        _log.info("no longer overloaded: %d requests were refused", self._refused)
        self._refused = 0


admission = Admission()


def refusal_at_door(
    request_id: bytes, *, has_hsts: bool
) -> tuple[list[tuple[bytes, bytes]], bytes]:
    """Headers and body of the 503 to a request that is not let in; made as cheaply as can be.

    Args:
        request_id: what the client gave as its own.
        has_hsts: whether browsers are told to use TLS from now on.
    """
    chosen = usable_request_id(request_id).encode()
    headers, body = _template(has_hsts)
    body = body.replace(_ID.encode(), chosen)
    return [*headers, (b"x-request-id", chosen), (b"content-length", b"%d" % len(body))], body


@cache
def _template(has_hsts: bool) -> tuple[list[tuple[bytes, bytes]], bytes]:
    error = OverloadedError()
    sent = {
        **headers_of_refusal(has_hsts=has_hsts),
        "X-Process-Time": "0.000s",
        "Server-Timing": 'app;dur=0.0, db;dur=0.0, trips;desc="0"',
    }
    response = document(TABLE[OverloadedError], str(error), _ID, headers=sent)
    headers = [each for each in response.raw_headers if each[0] != b"content-length"]
    return headers, bytes(response.body)
