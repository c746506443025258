"""The time limit of a request: until its response begins."""

import asyncio
import time
from collections.abc import Awaitable, Callable

from starlette.requests import HTTPConnection
from starlette.types import Scope as ConnectionScope

from neonkit.db import Scope
from neonkit.errors import (
    DatabaseUnavailableError,
    DeadlineError,
    OutcomeUnknownError,
    ProblemError,
)
from neonkit.web._route_names import method_of, route_of

_IN_SCOPE = "neonkit.time_limit"
_DATABASE_MARGIN = 0.25  # seconds by which the database's deadline comes before the request's


class TimeLimit:
    """The time that a request has until its response begins; none from there on.

    A stream, and whatever else goes on after the response began, has the database for as long as
    it likes: each statement still has its own bound.

    Args:
        seconds: how much it is.
        spent: the database's scope, whose deadline comes a little earlier.
        connection: the ASGI scope of the request.
    """

    def __init__(self, seconds: float, spent: Scope, connection: ConnectionScope) -> None:
        self.timer = asyncio.timeout(seconds)
        self._began = time.monotonic()
        self._spent = spent
        spent.deadline = self._began + _before(seconds)
        self._connection = connection
        self._source = "REQUEST_TIMEOUT"
        self._seconds = seconds
        connection[_IN_SCOPE] = self

    @property
    def has_passed(self) -> bool:
        """The end of it has come, for the database at least."""
        return self._spent.remaining() == 0.0

    @property
    def is_in_doubt(self) -> bool:
        """Something was sent that may have been committed, and its answer was lost."""
        return self._spent.doubts > 0

    def change(self, seconds: float | None) -> None:
        """Give the request another time, counted from its beginning; `None` for no limit."""
        if seconds is None or self.timer.expired():
            self.end()
            return
        self._source, self._seconds = "the route's own `timeout`", seconds
        self._spent.deadline = self._began + _before(seconds)
        left = self._began + seconds - time.monotonic()
        self.timer.reschedule(asyncio.get_running_loop().time() + left)

    def end(self) -> None:
        """Let what follows take its time: the response has begun."""
        if not self.timer.expired():
            self._spent.deadline = None
            self.timer.reschedule(None)

    def error(self) -> ProblemError:
        """The error that ends the request: which setting, and of which route."""
        if self.is_in_doubt:
            return OutcomeUnknownError()
        return DeadlineError(
            f"{self._said()}, and was stopped; what it had not committed is undone."
        )

    def name_itself(self, error: ProblemError) -> ProblemError:
        """Say in an error that the limit caused that it did, and whose it is."""
        if isinstance(error, DeadlineError):
            return self.error()
        if isinstance(error, DatabaseUnavailableError):
            if self.is_in_doubt:
                return OutcomeUnknownError()
            return DatabaseUnavailableError(
                f"{self._said()}, and the database had not answered; nothing was changed. "
                "Try again shortly."
            )
        return error

    def _said(self) -> str:
        scope = self._connection
        return (
            f"{method_of(scope)} {route_of(scope)} took longer than the {self._seconds:g} s that "
            f"{self._source} gives it"
        )


def _before(seconds: float) -> float:
    """The database's share of a time: it must have given up when the request's is over."""
    return seconds - min(_DATABASE_MARGIN, seconds / 2)


def time_limit_of(scope: ConnectionScope) -> TimeLimit | None:
    """The time limit of a request; a WebSocket has none."""
    limit: TimeLimit | None = scope.get(_IN_SCOPE)
    return limit


def timeout(seconds: float | None) -> Callable[[HTTPConnection], Awaitable[None]]:
    """Make a dependency that gives a route another time than REQUEST_TIMEOUT.

    `@app.get("/report", dependencies=[Depends(timeout(60))])`. It counts from the beginning of
    the request until the response begins; the body has to come within REQUEST_TIMEOUT all the
    same, because it is read before. Each statement keeps its own bound, STATEMENT_TIMEOUT.

    Args:
        seconds: above 0; `None` for no limit.

    Raises:
        ValueError: it is not above 0.
    """
    if seconds is not None and not seconds > 0:
        raise ValueError(f"timeout({seconds!r}): give seconds above 0, or None for no limit")

    async def give_time(connection: HTTPConnection) -> None:
        limit = time_limit_of(connection.scope)
        if limit is not None:
            limit.change(seconds)

    return give_time
