"""The request middleware: an id, a time limit, a measure, headers and one log line for each."""

import asyncio
import time
from collections.abc import Callable, Iterable
from http import HTTPStatus
from typing import Any

from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as ConnectionScope

from neonkit.db import current_scope, open_scope
from neonkit.errors import RequestTimeoutError
from neonkit.web._access_log import log_access
from neonkit.web._admission import admission, refusal_at_door
from neonkit.web._client_watch import ClientWatch
from neonkit.web._defects import is_answered, report_defect
from neonkit.web._drain_switch import draining
from neonkit.web._idempotency_key import REPLAYED
from neonkit.web._problems import respond
from neonkit.web._redirects import without_own_host
from neonkit.web._request_ids import usable_request_id
from neonkit.web._route_names import note_entry, route_of
from neonkit.web._runtime import Runtime
from neonkit.web._security_headers import Header, SecurityHeaders
from neonkit.web._time_limit import TimeLimit
from neonkit.web._web_socket_ends import WebSocketEnd

_ALWAYS_OURS = frozenset({b"x-request-id", b"x-process-time", b"server-timing"})
_IN_SCOPE = "neonkit.request"
_STARTS = ("http.response.start", "websocket.http.response.start")


class RequestMiddleware:
    """Gives every request an id, a time limit and an observation scope; pure ASGI.

    It stands outside of every other middleware of the app, so that a response of any of them has
    the headers and the log line. A WebSocket has no time limit. Where the app is mounted in
    another one that has neonkit, that one does it all.

    Args:
        app: what it wraps.
        timeout: seconds until the response must have begun.
        security: headers that say how browsers are to treat it.
        is_timed: whether the response tells what it took.
        cors: what gives its own answers their CORS headers, since it stands outside of that.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        timeout: float,
        security: SecurityHeaders,
        is_timed: bool,
        cors: Callable[[ASGIApp], ASGIApp] | None = None,
    ) -> None:
        self.app = app
        self.timeout = timeout
        self.security = security
        self.is_timed = is_timed
        self.cors = cors

    async def __call__(self, scope: ConnectionScope, receive: Receive, send: Send) -> None:
        """Run one request."""
        is_http = scope["type"] == "http"
        if not (is_http or scope["type"] == "websocket"):
            await self.app(scope, receive, send)
            return
        runtime = Runtime.of(scope)  # a mounted app replaces scope["app"]
        if not runtime.enter(scope):
            await self.app(scope, receive, send)
            return
        note_entry(scope)
        if is_http and not admission.has_let_in(scope) and admission.refuses(_path_in(scope)):
            await self._with_cors(self._refuse)(scope, receive, send)
            return
        with open_scope() as spent:
            request = RequestRecord(scope, receive, send, self, runtime)
            spent.label = request.route
            try:
                await (self._answer(request) if is_http else self._converse(request))
            except Exception as error:
                if not is_answered(error):
                    report_defect(request.scope, error)
                    raise
            finally:
                request.finish()

    def _with_cors(self, answer: ASGIApp) -> ASGIApp:
        """Let a page of another origin read an answer of this middleware's own."""
        return self.cors(answer) if self.cors else answer

    async def _refuse(self, scope: ConnectionScope, _receive: Receive, send: Send) -> None:
        """Answer 503 without a look at the request."""
        status = HTTPStatus.SERVICE_UNAVAILABLE.value
        headers, body = refusal_at_door(_id_in(scope), has_hsts=self.security.has_hsts)
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": body})

    async def _answer(self, request: "RequestRecord") -> None:
        """Let the app answer within the time limit, or say that it did not."""
        request.limit = limit = TimeLimit(self.timeout, request.spent, request.scope)
        client = request.watch_client()
        try:
            async with limit.timer:
                await admission.begin(_path_in(request.scope))
                await self.app(request.scope, client.receive, request.send)
        except asyncio.CancelledError:
            if not request.is_stopped_by_client():
                raise
        except TimeoutError:
            if request.status is not None or not limit.timer.expired():
                raise
            late = RequestTimeoutError() if client.is_receiving else limit.error()
            response, _ = respond(late, request.runtime.problems, request.id)
            await self._with_cors(response)(request.scope, request.receive, request.send)
        finally:
            client.end()
            admission.end()

    async def _converse(self, request: "RequestRecord") -> None:
        """Let the app talk to a WebSocket, and close it where the app fails."""
        socket = WebSocketEnd(request.scope, request.receive, request.send)
        try:
            await self.app(request.scope, socket.receive, socket.send)
        except Exception as error:
            response, is_expected = respond(error, request.runtime.problems, request.id)
            report_defect(request.scope, error)  # before the client can ask for the line
            await socket.end(response)
            if not is_expected:
                raise


class RequestRecord:
    """One request on its way out.

    Attributes:
        limit: its time limit; a WebSocket has none.
        scope: the ASGI scope that the app's router filled in: a middleware may hand on a copy.
        status: of its response, once that has begun; a WebSocket's close code.
    """

    def __init__(
        self,
        scope: ConnectionScope,
        receive: Receive,
        send: Send,
        middleware: RequestMiddleware,
        runtime: Runtime,
    ) -> None:
        self.scope = scope
        self.spent = current_scope()
        self.runtime = runtime
        self.limit: TimeLimit | None = None
        self.status: int | None = None
        self.receive = self._noting_the_end if scope["type"] == "websocket" else receive
        self.id = usable_request_id(_id_in(scope))
        self._receive = receive
        self._send = send
        self._security = middleware.security
        self._is_timed = middleware.is_timed
        self._root_path = scope.get("root_path")
        self._started = time.perf_counter()
        self._seconds: float | None = None
        self._is_finished = False
        self._has_hung_up = False
        self._task: asyncio.Task[Any] | None = None
        scope[_IN_SCOPE] = self
        scope.setdefault("state", {})["request_id"] = self.id

    def route(self) -> str:
        """The template of its route."""
        return route_of(self.scope)

    def watch_client(self) -> ClientWatch:
        """Stop this task when the client hangs up: nobody is left to be answered.

        Not once something that commits was sent, since it may have been done: that goes on to its
        end. Nor once the response has begun, which is the app's own business.
        """
        self._task = asyncio.current_task()
        return ClientWatch(self.scope, self.receive, self._hang_up)

    def _hang_up(self) -> None:
        if self.status is None and not self.spent.has_sent_commit and self._task is not None:
            self._has_hung_up = True
            self._task.cancel()

    def is_stopped_by_client(self) -> bool:
        """True if the client's hanging up is all that this task was cancelled for."""
        return self._has_hung_up and self._task is not None and self._task.uncancel() == 0

    async def _noting_the_end(self) -> Message:
        """Receive from a WebSocket."""
        message = await self._receive()
        if message["type"] == "websocket.disconnect":
            self.status = message.get("code", self.status)
        return message

    async def send(self, message: Message) -> None:
        """Add the headers when the response starts; from there on it has no time limit."""
        kind = message["type"]
        if kind in _STARTS:
            self._start(message)
        elif kind == "websocket.accept":
            self.status = HTTPStatus.SWITCHING_PROTOCOLS.value
        elif kind == "websocket.close":
            self.status = message.get("code", 1000)
        await self._send(message)
        if kind == "http.response.body" and not message.get("more_body", False):
            self.finish()

    def _start(self, message: Message) -> None:
        if self.limit is not None:
            self.limit.end()
        self.spent.is_answered = True
        self.status = message["status"]
        self._seconds = time.perf_counter() - self._started
        self.scope["state"]["process_time"] = self._seconds
        message["headers"] = self._with_ours(message.get("headers", ()), self._seconds)

    def _with_ours(self, headers: Iterable[Header], seconds: float) -> list[Header]:
        """The response's headers, and ours: a list is cheaper to add to than Starlette's view."""
        ours = [(b"x-request-id", self.id.encode())]
        if self._is_timed:
            spent = (seconds * 1000, self.spent.seconds * 1000, self.spent.trips)
            ours += (
                (b"x-process-time", b"%.3fs" % seconds),
                (b"server-timing", b'app;dur=%.1f, db;dur=%.1f, trips;desc="%d"' % spent),
            )
        if self.scope["state"].get(REPLAYED):
            ours.append((b"idempotent-replayed", b"true"))
        if draining.has_begun:
            ours.append((b"connection", b"close"))
        theirs = [each for each in headers if each[0] not in _ALWAYS_OURS]
        if self.status == HTTPStatus.TEMPORARY_REDIRECT:
            theirs = without_own_host(self.scope, theirs)
        is_mounted = self.scope.get("root_path") != self._root_path
        security = self._security.beside(
            theirs, is_mounted=is_mounted, is_personal=self._is_personal
        )
        return [*theirs, *ours, *security]

    @property
    def _is_personal(self) -> bool:
        """True if the request says who sends it, or is told that it should have."""
        is_signed = any(name == b"authorization" for name, _ in self.scope["headers"])
        return is_signed or self.status == HTTPStatus.UNAUTHORIZED

    def finish(self) -> None:
        """Count and log it, once: what a background task does after the response comes later."""
        if self._is_finished:
            return
        self._is_finished = True
        seconds = self._seconds
        if seconds is None:  # a WebSocket, or nothing was sent
            seconds = time.perf_counter() - self._started
        elif self.scope["type"] == "http" and self.status is not None:
            self.runtime.metrics.count_request(
                self.scope["method"], self.route(), self.status, seconds, self.spent.trips
            )
        log_access(self.scope, self.id, self.status, seconds, self.spent)


def _path_in(scope: ConnectionScope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", ""))


def request_in(scope: ConnectionScope) -> RequestRecord | None:
    """The request that a scope belongs to; `None` where the middleware was left out."""
    request: RequestRecord | None = scope.get(_IN_SCOPE)
    return request


def _id_in(scope: ConnectionScope) -> bytes:
    return next((value for name, value in scope["headers"] if name == b"x-request-id"), b"")
