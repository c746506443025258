"""Bodies are read strictly and within bounds, before the app sees them; pure ASGI."""

import json
import re
from collections.abc import Mapping
from itertools import accumulate
from typing import Any, NoReturn
from urllib.parse import unquote_to_bytes

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neonkit.errors import (
    FieldProblem,
    MalformedHeaderError,
    MalformedJsonError,
    PayloadTooLargeError,
    RequestInvalidError,
    UnsupportedMediaTypeError,
)
from neonkit.web._media_types import FORM, MediaType, read_media_type
from neonkit.web._password_form import takes_password_form
from neonkit.web._problems import TABLE, document
from neonkit.web._refused_values import BODY
from neonkit.web._request_ids import usable_request_id
from neonkit.web._request_middleware import request_in

DEEPEST = 64
"""Arrays and objects within each other, in a JSON body."""

_STRINGS = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*"?', re.DOTALL)
_NOT_BRACKETS = bytes(each for each in range(256) if each not in b"[]{}")
_REFUSALS = (
    MalformedHeaderError,
    MalformedJsonError,
    PayloadTooLargeError,
    RequestInvalidError,
    UnsupportedMediaTypeError,
)
_STEP = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


class BodyMiddleware:
    """Refuses bodies that are too large, compressed, or that two parsers could read apart.

    Strict JSON (RFC 8259, RFC 7493) is UTF-8 without a byte order mark, has no duplicate keys,
    no `NaN` or `Infinity`, one document, and at most 64 arrays and objects within each other.
    Strict forms are UTF-8 behind their escapes.

    `install` adds it, unless `without={"strict-bodies"}`. Any other ASGI app can have it alone:

        app.add_middleware(BodyMiddleware, most_bytes=65536)

    There it answers with its problem documents itself.

    Args:
        app: what it wraps.
        most_bytes: the longest body that is read; a longer one is refused by its
            Content-Length unread, or once that many bytes have come.
    """

    def __init__(self, app: ASGIApp, *, most_bytes: int) -> None:
        self.app = app
        self.most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        headers = dict(scope["headers"]) if scope["type"] == "http" else {}
        if not headers or not _may_have_body(scope, headers):
            await self.app(scope, receive, send)
            return
        body = _Body(receive, send, self.most_bytes)
        try:
            await self._run(scope, headers, body)
        except _REFUSALS as error:
            if request_in(scope) is not None or body.has_answer:  # others know better
                raise
            chosen = usable_request_id(headers.get(b"x-request-id", b""))
            errors = error.errors
            answer = document(TABLE[type(error)], str(error), chosen, fields=errors)
            await answer(scope, receive, send)

    async def _run(self, scope: Scope, headers: Mapping[bytes, bytes], body: "_Body") -> None:
        self._refuse_head(headers)
        kind = read_media_type(headers.get(b"content-type", b""))
        try:
            _refuse_kind(kind, scope, is_empty=headers.get(b"content-length") == b"0")
        except UnsupportedMediaTypeError:
            if b"content-length" not in headers:
                await body.read()  # whether it is too long is told before
            raise
        if kind.is_json or kind.essence == FORM:
            await body.read()
            _check(kind, body.content)
        if kind.is_json:
            scope.setdefault("state", {})[BODY] = body.content
        await self.app(scope, body.receive, body.send)

    def _refuse_head(self, headers: Mapping[bytes, bytes]) -> None:
        length = headers.get(b"content-length", b"0")
        if not length.isdigit():
            raise MalformedHeaderError("Content-Length must be a number of bytes.")
        if int(length[:20]) > self.most_bytes:
            raise PayloadTooLargeError(self.most_bytes)
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise UnsupportedMediaTypeError("Send the body without a Content-Encoding.")


class _Body:
    """A body that is given to the app as it comes, or at once where it was read before.

    The refusal of one that is too long replaces whatever the app makes of it: FastAPI answers
    400 to anything that goes wrong while it reads a form.
    """

    def __init__(self, receive: Receive, send: Send, most_bytes: int) -> None:
        self.content = b""
        self._receive = receive
        self._send = send
        self._most_bytes = most_bytes
        self._seen = 0
        self._refusal: PayloadTooLargeError | None = None
        self._is_read = False
        self.has_answer = False

    async def read(self) -> None:
        """Read it whole; nothing where the client hung up."""
        chunks: list[bytes] = []
        message: Message = {"more_body": True}
        while message.get("more_body", False):
            message = await self.receive()
            chunks.append(message.get("body", b""))
        if message["type"] == "http.request":
            self.content = b"".join(chunks)
            self._is_read = True

    async def receive(self) -> Message:
        """Give the app the next part of it."""
        if self._is_read:
            self._is_read = False
            return {"type": "http.request", "body": self.content, "more_body": False}
        message = await self._receive()
        self._seen += len(message.get("body", b""))
        if self._seen > self._most_bytes:
            self._refusal = PayloadTooLargeError(self._most_bytes)
            raise self._refusal
        return message

    async def send(self, message: Message) -> None:
        """Let the app's answer pass, unless the body was refused."""
        if self._refusal is not None and message["type"] == "http.response.start":
            raise self._refusal
        self.has_answer = True
        await self._send(message)


def _may_have_body(scope: Scope, headers: Mapping[bytes, bytes]) -> bool:
    """True if anything can follow the head: HTTP/1 says so by a header, HTTP/2 need not."""
    return (
        b"content-length" in headers
        or b"transfer-encoding" in headers
        or not scope.get("http_version", "1.1").startswith("1")
    )


def _refuse_kind(kind: MediaType, scope: Scope, *, is_empty: bool) -> None:
    if (kind.is_json or kind.is_form) and not kind.is_utf_8:
        raise UnsupportedMediaTypeError("JSON and forms are sent as UTF-8 here.")
    if kind.essence != FORM and not is_empty and takes_password_form(scope):
        raise UnsupportedMediaTypeError(f"Send the form as {FORM}.")


def _check(kind: MediaType, body: bytes) -> None:
    if not body:
        return
    if kind.is_json:
        check_json(body)
    else:
        _check_form(body)


def check_json(body: bytes) -> None:
    """Refuse what is not one strict JSON document.

    Raises:
        MalformedJsonError: what is wrong with it, without a piece of it.
    """
    if _depth(body) > DEEPEST:
        raise MalformedJsonError(f"The body is nested too deeply: {DEEPEST} levels are read.")
    try:
        _STRICT.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise MalformedJsonError("The body is not valid UTF-8.") from None
    except ValueError:
        raise MalformedJsonError("The body is not one valid JSON document.") from None


def _depth(body: bytes) -> int:
    """How deep it is nested, or a little more than it is: decoding needs a stack for that."""
    openers = body.count(b"[") + body.count(b"{")
    if openers <= DEEPEST:
        return openers
    brackets = _STRINGS.sub(b"", body).translate(None, _NOT_BRACKETS)
    return max(accumulate(map(_STEP.__getitem__, brackets)), default=0)


def _check_form(body: bytes) -> None:
    try:
        if body.isascii():
            unquote_to_bytes(body).decode("utf-8")
            return
    except UnicodeDecodeError:
        pass
    fault = FieldProblem("/body", "unreadable", "It must be UTF-8, with %-escapes beyond ASCII.")
    raise RequestInvalidError(errors=[fault])


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise MalformedJsonError("A key stands twice in one object.")


def _refuse(_constant: str) -> NoReturn:
    raise MalformedJsonError("NaN and Infinity are not JSON.")


_STRICT = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_refuse)
