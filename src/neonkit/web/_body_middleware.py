"""Bodies are read strictly and within bounds, before the app sees them; pure ASGI."""

import json
from collections.abc import Mapping
from email.message import Message as HeaderMessage
from typing import Any, NoReturn

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from neonkit.errors import (
    MalformedHeaderError,
    MalformedJsonError,
    PayloadTooLargeError,
    UnsupportedMediaTypeError,
)
from neonkit.web._refused_values import BODY


class BodyMiddleware:
    """Refuses bodies that are too large, compressed, or JSON that two parsers could read apart.

    Strict JSON (RFC 8259, RFC 7493) is UTF-8 without a byte order mark, has no duplicate keys,
    no `NaN` or `Infinity`, and one document.

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
        if scope["type"] == "http":
            headers = dict(scope["headers"])
            if b"content-length" in headers or b"transfer-encoding" in headers:
                receive = await self._check(scope, headers, receive)
        await self.app(scope, receive, send)

    async def _check(
        self, scope: Scope, headers: Mapping[bytes, bytes], receive: Receive
    ) -> Receive:
        self._refuse_length(headers.get(b"content-length", b"0"))
        if headers.get(b"content-encoding", b"identity").strip().lower() != b"identity":
            raise UnsupportedMediaTypeError("Send the body without a Content-Encoding.")
        bounded = self._bound(receive)
        if not _is_json(headers.get(b"content-type", b"")):
            return bounded
        body = await _read(bounded)
        if body:
            check_json(body)
        scope.setdefault("state", {})[BODY] = body
        return _replay(body, receive)

    def _refuse_length(self, value: bytes) -> None:
        if not value.isdigit():
            raise MalformedHeaderError("Content-Length must be a number of bytes.")
        if int(value[:20]) > self.most_bytes:
            raise PayloadTooLargeError(self.most_bytes)

    def _bound(self, receive: Receive) -> Receive:
        seen = 0

        async def bounded() -> Message:
            nonlocal seen
            message = await receive()
            seen += len(message.get("body", b""))
            if seen > self.most_bytes:
                raise PayloadTooLargeError(self.most_bytes)
            return message

        return bounded


def check_json(body: bytes) -> None:
    """Refuse what is not one strict JSON document.

    Raises:
        MalformedJsonError: what is wrong with it, without a piece of it.
    """
    try:
        _STRICT.decode(body.decode("utf-8"))
    except UnicodeDecodeError:
        raise MalformedJsonError("The body is not valid UTF-8.") from None
    except RecursionError:
        raise MalformedJsonError("The body is nested too deeply.") from None
    except ValueError:
        raise MalformedJsonError("The body is not one valid JSON document.") from None


def _without_duplicates(pairs: list[tuple[str, Any]]) -> None:
    if len({name for name, _ in pairs}) < len(pairs):
        raise MalformedJsonError("A key stands twice in one object.")


def _refuse(_constant: str) -> NoReturn:
    raise MalformedJsonError("NaN and Infinity are not JSON.")


_STRICT = json.JSONDecoder(object_pairs_hook=_without_duplicates, parse_constant=_refuse)


def _is_json(value: bytes) -> bool:
    if value == b"application/json":  # nearly always; the parser takes 20 µs
        return True
    header = HeaderMessage()
    header["content-type"] = value.decode("latin-1")
    kind = header.get_content_type()
    is_json = kind == "application/json" or (
        kind.startswith("application/") and kind.endswith("+json")
    )
    charset = header.get_content_charset("utf-8")
    if is_json and charset not in {"utf-8", "utf8"}:
        raise UnsupportedMediaTypeError("JSON is sent as UTF-8 here.")
    return is_json


async def _read(receive: Receive) -> bytes:
    chunks: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        chunks.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(chunks)


def _replay(body: bytes, receive: Receive) -> Receive:
    is_pending = True

    async def replay() -> Message:
        nonlocal is_pending
        if is_pending:
            is_pending = False
            return {"type": "http.request", "body": body, "more_body": False}
        return await receive()

    return replay
