"""What happens around every request: an id, a deadline, a measure, headers, one log line."""

import asyncio
import logging
import re
import time
from collections.abc import Iterable, Mapping
from functools import partial
from secrets import token_hex
from typing import TypeAlias

from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as Connection

from neonkit.db import Scope, open_scope
from neonkit.errors import DeadlineError, RequestTimeoutError
from neonkit.web._caller_checks import told_first
from neonkit.web._idempotency_key import REPLAYED
from neonkit.web._problems import Problem, respond
from neonkit.web._refused_values import told_of_request
from neonkit.web._runtime import Runtime

Header: TypeAlias = tuple[bytes, bytes]

_access = logging.getLogger("neonkit.access")
_errors = logging.getLogger("neonkit.errors")

_REQUEST_ID = re.compile(rb"[A-Za-z0-9._-]{1,64}\Z")
_DATABASE_MARGIN = 0.25  # seconds by which the database's deadline comes before the request's

_ALWAYS_OURS = frozenset({b"x-request-id", b"x-process-time", b"server-timing"})

SECURITY_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
}
HSTS = "max-age=31536000; includeSubDomains"


class Draining:
    """Whether this process is about to end: readiness says so, and connections are not kept."""

    def __init__(self) -> None:
        self.has_begun = False

    def begin(self) -> None:
        """From now on, ask clients and balancers to go elsewhere."""
        self.has_begun = True


draining = Draining()


class RequestMiddleware:
    """Gives every request an id, a deadline and an observation scope; pure ASGI.

    Args:
        app: what it wraps.
        timeout: seconds until the response must have begun.
        headers: sent with each response that has no header of that name.
    """

    def __init__(self, app: ASGIApp, *, timeout: float, headers: Mapping[str, str]) -> None:
        self.app = app
        self.timeout = timeout
        self.headers = tuple(
            (name.lower().encode("latin-1"), value.encode("latin-1"))
            for name, value in headers.items()
        )

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        request = _Request(scope, receive, send, self.headers)
        with open_scope(self.timeout - _DATABASE_MARGIN) as request.spent:
            request.spent.label = partial(route_of, scope)
            try:
                async with asyncio.timeout(self.timeout) as request.timeout:
                    await self.app(scope, request.receive, request.send)
            except TimeoutError:
                if request.status is not None:
                    raise
                late = RequestTimeoutError() if request.is_receiving else DeadlineError()
                response, _ = respond(late, request.table, request.id)
                await response(scope, receive, request.send)
        request.count()
        request.log()


class _Request:
    """One request on its way out."""

    spent: Scope
    timeout: asyncio.Timeout

    def __init__(
        self,
        scope: Connection,
        receive: Receive,
        send: Send,
        headers: tuple[Header, ...],
    ) -> None:
        self.scope = scope
        self.status: int | None = None
        self.is_receiving = False
        self.id = _request_id(scope)
        self._receive = receive
        self._send = send
        self._headers = headers
        self._runtime: Runtime = scope["app"].state.neonkit  # a mounted app replaces scope["app"]
        self._started = time.perf_counter()
        self._seconds = 0.0
        scope.setdefault("state", {})["request_id"] = self.id

    @property
    def table(self) -> Mapping[type[Exception], Problem]:
        return self._runtime.problems

    async def receive(self) -> Message:
        """Receive, so that it is known what a request was doing when its time was up."""
        self.is_receiving = True
        message = await self._receive()
        self.is_receiving = False
        return message

    async def send(self, message: Message) -> None:
        """Add the headers when the response starts; from there on it has no deadline."""
        if message["type"] == "http.response.start":
            if not self.timeout.expired():
                self.timeout.reschedule(None)
            self.status = message["status"]
            self._seconds = time.perf_counter() - self._started
            self.scope["state"]["process_time"] = self._seconds
            message["headers"] = self._with_ours(message.get("headers", ()))
        await self._send(message)

    def _with_ours(self, headers: Iterable[Header]) -> list[Header]:
        """The response's headers, and ours: a list is cheaper to add to than Starlette's view."""
        ours = [
            (b"x-request-id", self.id.encode()),
            (b"x-process-time", b"%.3fs" % self._seconds),
            (
                b"server-timing",
                b'app;dur=%.1f, db;dur=%.1f, trips;desc="%d"'
                % (self._seconds * 1000, self.spent.seconds * 1000, self.spent.trips),
            ),
        ]
        if self.scope["state"].get(REPLAYED):
            ours.append((b"idempotent-replayed", b"true"))
        if draining.has_begun:
            ours.append((b"connection", b"close"))
        theirs = [each for each in headers if each[0] not in _ALWAYS_OURS]
        given = {name for name, _ in theirs}
        return [*theirs, *ours, *(each for each in self._headers if each[0] not in given)]

    def count(self) -> None:
        """Count it in the app's metrics, where it was answered."""
        if self.status is not None:
            self._runtime.metrics.count_request(
                self.scope["method"],
                route_of(self.scope),
                self.status,
                self._seconds,
                self.spent.trips,
            )

    def log(self) -> None:
        """Write the access log's line: the route's template, never the path or the query."""
        _access.info(
            "%s %s %s %.1f ms, %d round trips",
            self.scope["method"],
            route_of(self.scope),
            self.status,
            self._seconds * 1000,
            self.spent.trips,
            extra={
                "request_id": self.id,
                "method": self.scope["method"],
                "route": route_of(self.scope),
                "status": self.status,
                "milliseconds": round(self._seconds * 1000, 1),
                "database_milliseconds": round(self.spent.seconds * 1000, 1),
                "round_trips": self.spent.trips,
            },
        )


class LastResortMiddleware:
    """Turns whatever the app raises into a problem document, inside of CORS.

    What is nobody's fault but ours is `internal`, logged with its traceback and its route.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Connection, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        has_started = False

        async def watch(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            if has_started:
                raise
            request_id = scope.get("state", {}).get("request_id", "")
            told = told_first(scope, told_of_request(scope, error))
            response, is_expected = respond(told, problem_table(scope), request_id)
            if not is_expected:
                report_defect(scope, error)
            await response(scope, receive, send)


def report_defect(scope: Connection, error: Exception) -> None:
    """Log an error that is ours: the route, what happened, and the traceback."""
    _errors.error(
        "%s %s: %s: %s",
        scope["method"],
        route_of(scope),
        type(error).__name__,
        error,
        exc_info=error,
        extra={
            "request_id": scope.get("state", {}).get("request_id"),
            "route": route_of(scope),
        },
    )


def problem_table(scope: Connection) -> Mapping[type[Exception], Problem]:
    """The app's own table of problems: ours, and what `add_problem` added."""
    table: Mapping[type[Exception], Problem] = scope["app"].state.neonkit.problems
    return table


def route_of(scope: Connection) -> str:
    """The template of the route that matched, such as `/posts/{id}`; `-` where none did."""
    # FastAPI keeps the template of an included route, prefixes and all, in a scope of its own
    included = scope.get("fastapi", {}).get("effective_route_context")
    return getattr(included or scope.get("route"), "path_format", None) or "-"


def _request_id(scope: Connection) -> str:
    given = next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
    return given.decode() if _REQUEST_ID.match(given) else token_hex(16)
