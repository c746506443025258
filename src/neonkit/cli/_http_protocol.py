"""HTTP/1.1 connections within bounds: uvicorn's protocol, with limits and deadlines of its own."""

import asyncio
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from http import HTTPStatus
from importlib import import_module
from typing import Any

import httptools
from uvicorn.protocols.http.httptools_impl import (
    STATUS_LINE,
    HttpToolsProtocol,
    RequestResponseCycle,
)
from uvicorn.server import ServerState

from neonkit._seams.uvicorn import ASGI3Application, ASGIReceiveCallable, ASGISendCallable
from neonkit.cli._door import Door, Refused
from neonkit.errors import (
    HeaderTooLargeError,
    MalformedHeaderError,
    OverloadedError,
    ProblemError,
    RequestTimeoutError,
    UriTooLongError,
)
from neonkit.web import HeadPolicy, admission, refusal_of

_log = logging.getLogger("neonkit")
_access = logging.getLogger("neonkit.access")

_HOST = re.compile(
    rb"(?:[A-Za-z0-9._~!$&'()*+,;=%-]*|\[[0-9A-Fa-f:.]+\])(?::[0-9]{0,5})?"  # RFC 9110, 7.2
)
_CLOSE = (b"connection", b"close")
_ENDING = {HTTPStatus.REQUEST_TIMEOUT, HTTPStatus.REQUEST_ENTITY_TOO_LARGE}
_FRAMING_OF_A_BYTE = 16  # of body: a chunk of one byte has five that frame it
_LOOKS = 12  # at how much a reader has taken, in the time that it has
_SPARE_FILES = 4  # one of so many is left to the database, the log and the app
_FEWEST_SPARE = 32
_WITHOUT_A_LIMIT = 65_536


@dataclass(frozen=True)
class ConnectionPolicy:
    """Bounds of the connections of a server process.

    Attributes:
        head: of what a client says before its body.
        head_timeout: seconds until a head has come whole, counted from the connection, from the
            end of the last answer where its client goes on sending, or from the first byte after.
        reader_timeout: seconds in which a client must take `least_taken` bytes of what waits for
            it, or all of it.
        least_taken: bytes.
        linger: seconds in which the rest of a request that was refused is read and dropped: a
            connection that is closed on top of unread bytes is reset, and takes the answer along.
        most_connections: how many are open at a time.
        most_unsent: bytes that wait for clients which do not take them, over all connections.
        has_hsts: whether refusals tell browsers to use TLS from now on, as the app's answers do.
    """

    head: HeadPolicy = field(default_factory=HeadPolicy)
    head_timeout: float = 10.0
    reader_timeout: float = 60.0
    least_taken: int = 64 * 1024
    linger: float = 2.0
    most_connections: int = 768
    most_unsent: int = 16 * 1024 * 1024
    has_hsts: bool = False


def connections_within(files: int | None = None) -> int:
    """How many connections leave a process files for its database, its log and the app.

    Args:
        files: how many it may open; by default what `ulimit -n` says.
    """
    if files is None:
        files = _file_limit()
    if not 0 <= files < _WITHOUT_A_LIMIT:
        files = _WITHOUT_A_LIMIT
    return max(1, files - max(_FEWEST_SPARE, files // _SPARE_FILES))


def _file_limit() -> int:
    try:
        resource = import_module("resource")
    except ImportError:  # Windows, where sockets are no files
        return _WITHOUT_A_LIMIT
    soft: int = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    return soft


class _Connections:
    """The connections of a process, together: who is idle, and who does not read."""

    def __init__(self, policy: ConnectionPolicy) -> None:
        self.policy = policy
        self.idle: dict[HttpProtocol, None] = {}  # the longest idle first
        self.unread: dict[HttpProtocol, int] = {}  # bytes; the longest unread first
        self._said: set[str] = set()
        self._door: Door | None = None

    def door_of(self, state: ServerState) -> Door:
        """The door that all of them share."""
        if self._door is None:
            self._door = Door(state, has_hsts=self.policy.has_hsts)
        return self._door

    def make_room(self) -> bool:
        """Close the connection that is idle for longest; `False` where none is."""
        self._say(
            "connections have reached their bound of %d: the longest idle ones are closed, and "
            "others refused; `ulimit -n` raises it",
            self.policy.most_connections,
        )
        longest = next(iter(self.idle), None)
        if longest is None:
            return False
        longest.drop()
        return True

    def note_unread(self, connection: "HttpProtocol", size: int) -> None:
        """Count what waits for a client; beyond the bound whoever was first does not get it."""
        self.unread[connection] = size
        while len(self.unread) > 1 and sum(self.unread.values()) > self.policy.most_unsent:
            self._say(
                "more than %d bytes wait for clients that do not read: the slowest are dropped",
                self.policy.most_unsent,
            )
            next(iter(self.unread)).drop()

    def _say(self, message: str, bound: int) -> None:
        if message not in self._said:  # once, or whoever fills the connections fills the log too
            self._said.add(message)
            _log.warning(message, bound)


class _Ending:
    """A transport for uvicorn's cycle of request and response, which closes it in our way."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


class HttpProtocol(HttpToolsProtocol):
    """One connection.

    What cannot be handed to the app (RFC 9112, RFC 6585) is answered with a problem document, in
    its turn behind the requests before it, and ends the connection.
    """

    def __init__(self, *args: Any, connections: _Connections, **options: Any) -> None:
        super().__init__(*args, **options)
        self._door = connections.door_of(self.server_state)
        self.app = partial(_answer, self.app)
        self._shared = connections
        self._policy = connections.policy
        self._running: RequestResponseCycle | None = None
        self._refusal: ProblemError | None = None
        self._is_lingering = False
        self._is_in_message = False
        self._is_in_head = False
        self._has_begun = False  # a message, in the bytes that are being read
        self._fields = self._size = self._framing = self._body = 0
        self._is_let_in = False  # what comes now
        self._refused_at = float("-inf")
        self._to_skip = 0  # bytes of the body of a request that was refused unread
        self._reading: asyncio.TimerHandle | None = None
        self._writing: asyncio.TimerHandle | None = None

    @property
    def _is_busy(self) -> bool:
        """True if a request is being answered, or waits for its turn."""
        running = self._running
        return (running is not None and not running.response_complete) or bool(self.pipeline)

    # the transport's calls

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn does
        """Begin: there is room, or the longest idle connection makes it."""
        super().connection_made(transport)
        self._ending = _Ending(transport, self._end)
        if len(self.connections) > self._policy.most_connections and not self._shared.make_room():
            self._refuse(OverloadedError("There are too many connections; try again shortly."))
            return
        self._wait_for_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """End."""
        self._forget()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Read on, unless what came before was refused."""
        if self._refusal is not None or self._is_lingering:
            return
        if not (data := self._skip(data)):
            return
        is_first = not self._is_in_message and not self._is_busy
        self._is_let_in = is_first and self._door.lets_in()
        if is_first and not self._is_let_in and (refused := self._door.refuse(data)):
            self._answer_at_door(refused)
            return
        self._unset_keepalive_if_required()
        self._has_begun = False
        before = self._body
        try:
            self.parser.feed_data(data)  # pyright: ignore[reportOptionalMemberAccess]  # none only after the end
        except httptools.HttpParserUpgrade:
            if self._should_upgrade():
                self._forget()
                self.handle_websocket_upgrade()
                return
        except httptools.HttpParserError as error:
            fault = error.__context__
            is_ours = isinstance(fault, ProblemError)
            self._refuse(fault if is_ours else MalformedHeaderError("This is not HTTP/1.1."))  # type: ignore[arg-type]  # as `is_ours` says
            return
        if not self._has_begun:
            self._framing += len(data) - (self._body - before)
        if self._is_in_message and self._framing > self._most_framing:
            self._refuse(self._too_large())
        elif self._is_busy:
            self._stop_waiting()
        else:
            self._wait_for_head()

    def pause_writing(self) -> None:
        """The client does not read as fast as the app writes."""
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        """It has caught up."""
        super().resume_writing()
        self._stop_watching()

    # the parser's calls; what they raise ends `feed_data`

    def on_message_begin(self) -> None:
        """Begin a request, of which nothing is counted yet."""
        super().on_message_begin()
        self._is_in_message = self._is_in_head = self._has_begun = True
        self._fields = self._size = self._framing = self._body = 0

    def on_url(self, url: bytes) -> None:
        """Take a piece of the target."""
        super().on_url(url)
        if len(self.url) > self._policy.head.target_bytes:
            raise UriTooLongError(self._policy.head.target_bytes)

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header line; one behind the body is counted, and no header of this request."""
        self._fields += 1
        self._size += len(name) + len(value) + 4
        if self._fields > self._policy.head.fields or self._size > self._policy.head.header_bytes:
            raise self._too_large()
        if self._is_in_head:
            super().on_header(name, value)

    def on_headers_complete(self) -> None:
        """Hand the request to the app."""
        if fault := self._policy.head.fault_of_headers(self.headers) or self._fault_of_host():
            raise fault
        before = self.cycle
        super().on_headers_complete()
        self._is_in_head = False
        if self.cycle is not before:
            if self._is_let_in:
                admission.let_in(self.cycle.scope)  # type: ignore[arg-type]  # as `_answer` says
            self.cycle.transport = self._ending  # type: ignore[assignment]  # as much of one as it uses

    def on_body(self, body: bytes) -> None:
        """Take a piece of the body."""
        self._body += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """The request has come whole."""
        self._is_in_message = False
        super().on_message_complete()

    # uvicorn's calls

    def on_response_complete(self) -> None:
        """An answer was written: the next request's turn, or that of a refusal."""
        if self._is_lingering:
            self.server_state.total_requests += 1
            return
        super().on_response_complete()
        self._watch_reader()
        if self._is_busy or self.transport.is_closing():
            return
        if self._refusal is not None:
            self._write_refusal(self._refusal)
            return
        self._shared.idle[self] = None
        if self._is_in_message:
            self._unset_keepalive_if_required()
            self._wait_for_head()

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: ASGI3Application) -> None:
        self._running = cycle
        super()._start_asgi_task(cycle, app)

    def timeout_keep_alive_handler(self) -> None:
        """Nothing has come for long: go, with or without what the client has not read."""
        left = self._refused_at + self.timeout_keep_alive - self.loop.time()
        if left > 0:  # refusals do not wind the clock up again, because that costs too much
            self.timeout_keep_alive_task = self.loop.call_later(
                left, self.timeout_keep_alive_handler
            )
        else:
            self.drop()

    def _should_upgrade(self) -> bool:
        """True if it asks for a WebSocket (RFC 6455, section 4.1); else it is a plain request."""
        names = {name for name, _ in self.headers}
        method = self.parser.get_method()  # pyright: ignore[reportOptionalMemberAccess]  # none only after the end
        return (
            method == b"GET"
            and b"sec-websocket-key" in names
            and names.isdisjoint({b"content-length", b"transfer-encoding"})
            and super()._should_upgrade()
        )

    def drop(self) -> None:
        """End the connection at once."""
        self._forget()
        self.connections.discard(self)
        if self.transport.get_write_buffer_size():
            self.transport.abort()
        else:
            self.transport.close()

    # bounds

    @property
    def _most_framing(self) -> int:
        """Bytes of a message that may be no body: its head, its chunks' sizes, its trailers."""
        head = self._policy.head
        if self._is_in_head:
            return head.target_bytes + head.header_bytes
        return head.header_bytes + _FRAMING_OF_A_BYTE * self._body

    def _too_large(self) -> HeaderTooLargeError:
        return HeaderTooLargeError(self._policy.head.header_bytes, self._policy.head.fields)

    def _given_id(self) -> bytes:
        return next((value for name, value in self.headers if name == b"x-request-id"), b"")

    def _fault_of_host(self) -> MalformedHeaderError | None:
        """Exactly one in HTTP/1.1 (RFC 9112, section 3.2); a second one was refused before."""
        host = next((value for name, value in self.headers if name == b"host"), None)
        version = self.parser.get_http_version()  # pyright: ignore[reportOptionalMemberAccess]  # none only after the end
        if host is None and version == "1.1":
            return MalformedHeaderError("HTTP/1.1 needs the header Host.")
        if host is not None and not _HOST.fullmatch(host):
            return MalformedHeaderError("The header Host is malformed.")
        return None

    # the door

    def _skip(self, data: bytes) -> bytes:
        """Drop what is left of a request that was refused unread; what came behind it."""
        skipped = min(self._to_skip, len(data))
        self._to_skip -= skipped
        return data[skipped:] if skipped else data

    def _answer_at_door(self, refused: Refused) -> None:
        """Answer 503 without a task, and keep the connection unless its client does not."""
        self._stop_waiting()
        self.transport.write(refused.answer)
        if refused.closes:
            self._end()
            return
        self._to_skip = refused.to_come
        self._shared.idle[self] = None
        self._refused_at = self.loop.time()
        if self.timeout_keep_alive_task is None:
            super().on_response_complete()

    # deadlines

    def _wait_for_head(self) -> None:
        self._shared.idle.setdefault(self)
        if self._reading is None:
            self._reading = self.loop.call_later(self._policy.head_timeout, self._give_up_reading)

    def _stop_waiting(self) -> None:
        self._shared.idle.pop(self, None)
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None

    def _give_up_reading(self) -> None:
        self._reading = None
        if self._is_in_head and not self._is_lingering:
            self._refuse(RequestTimeoutError("The headers did not arrive in time."))
        else:
            self.drop()

    def _watch_reader(self) -> None:
        left = self.transport.get_write_buffer_size()
        if left and self._writing is None:
            self._judge_reader_soon(left, self.loop.time())
            self._shared.note_unread(self, left)

    def _judge_reader_soon(self, before: int, since: float) -> None:
        wait = self._policy.reader_timeout / _LOOKS
        self._writing = self.loop.call_later(wait, self._judge_reader, before, since)

    def _judge_reader(self, before: int, since: float) -> None:
        """Drop who has not taken enough since then; who has begins anew."""
        self._writing = None
        left = self.transport.get_write_buffer_size()
        if not left or left <= before - self._policy.least_taken:
            self._shared.unread.pop(self, None)
            self._watch_reader()
        elif self.loop.time() - since < self._policy.reader_timeout:
            self._judge_reader_soon(before, since)
        else:
            self.drop()

    def _stop_watching(self) -> None:
        self._shared.unread.pop(self, None)
        if self._writing is not None:
            self._writing.cancel()
            self._writing = None

    def _forget(self) -> None:
        self._stop_waiting()
        self._stop_watching()
        self._unset_keepalive_if_required()

    # the end

    def _refuse(self, error: ProblemError) -> None:
        """Answer with an error once those before have their answers, and end the connection."""
        self._refusal = error
        self._stop_waiting()
        if not self._is_busy:
            self._write_refusal(error)
        elif not self._is_in_head and self._is_in_message:
            self._take_back(error)

    def _take_back(self, error: ProblemError) -> None:
        """Refuse the request whose head the app has, and whose body is no body."""
        if self.pipeline:  # it is the last one there, and nobody has begun with it
            self.pipeline.popleft()
            return
        cycle = self.cycle
        cycle.disconnected = True
        cycle.message_event.set()
        if cycle.response_started:
            self.drop()
        else:
            self._write_refusal(error)

    def _write_refusal(self, error: ProblemError) -> None:
        given = self._given_id() if self._is_in_message else b""
        status, headers, body = refusal_of(error, given, has_hsts=self._policy.has_hsts)
        lines = [STATUS_LINE[status]]
        for name, value in (*self.server_state.default_headers, *headers):
            lines += [name, b": ", value, b"\r\n"]
        self.transport.write(b"".join([*lines, b"\r\n", body]))
        _access.info(
            "- - %d, refused while it was read",
            status,
            extra={"method": "-", "route": "-", "status": status},
        )
        self._end()

    def _end(self) -> None:
        """Close; where more of a request may come, let the client read the answer before."""
        if self._is_lingering:
            return
        self._stop_waiting()
        self._unset_keepalive_if_required()
        is_over = not self._is_in_message and self._refusal is None
        if is_over or not self.transport.can_write_eof():
            self.transport.close()
        elif not self.transport.is_closing():
            self._is_lingering = True
            self.flow.resume_reading()
            self.transport.write_eof()
            self._shared.idle[self] = None
            self._reading = self.loop.call_later(self._policy.linger, self.drop)
        self._watch_reader()


async def _answer(
    app: ASGI3Application,
    scope: Any,  # noqa: ANN401  # uvicorn and Starlette type the same dict apart
    receive: ASGIReceiveCallable,
    send: ASGISendCallable,
) -> None:
    """Run the app; an answer to a body that was read in part ends the connection."""

    async def end(message: Any) -> None:  # noqa: ANN401  # as above
        if message["type"] == "http.response.start" and message["status"] in _ENDING:
            message = {**message, "headers": [*message.get("headers", ()), _CLOSE]}
        await send(message)

    await app(scope, receive, end)


def http_protocol(policy: ConnectionPolicy) -> Callable[..., HttpProtocol]:
    """Make what uvicorn calls for each connection of a process (`uvicorn.Config(http=…)`)."""
    return partial(HttpProtocol, connections=_Connections(policy))
