"""The door of a connection: what cannot be answered in time is refused unread.

A service that is asked for five times what it can do refuses four requests for each one that it
serves, so a refusal may cost a fiftieth of a request and no more. Neither the parser nor the app
sees what is refused here.
"""

import re
from http import HTTPStatus
from secrets import token_hex
from typing import NamedTuple

from uvicorn.protocols.http.httptools_impl import STATUS_LINE
from uvicorn.server import ServerState

from neonkit.web import admission, draining, refusal_at_door

# A head in which everybody sees the same one request (RFC 9112): what frames it otherwise, or wants
# more than an answer, is not matched, and is refused behind the parser. So is what names an Origin:
# a page's script reads the refusal only where the app's CORS headers let it.
_HEAD = re.compile(
    rb"(?:GET|POST|PUT|PATCH|DELETE) (/[!-~]*+) HTTP/1\.1\r\n"
    rb"(?i:content-length:[ \t]*+([0-9]{1,5})\r\n"
    rb"|x-request-id:([^\r\n\0]*+)\r\n"
    rb"|connection:[ \t]*+(?:keep-alive|(close))\r\n"
    rb"|(?!content-length|x-request-id|connection|transfer-encoding|expect|upgrade|origin)"
    rb"[!#$%&'*+.^_`|~0-9a-z-]++:[^\r\n\0]*+\r\n)*+\r\n"
)
_CLOSE = (b"connection", b"close")
_LENGTH = re.compile(rb"\r\ncontent-length", re.IGNORECASE)


class Refused(NamedTuple):
    """A request that was refused unread.

    Attributes:
        answer: what to write.
        to_come: bytes of its body that have not arrived.
        closes: whether it asked for the end of the connection.
    """

    answer: bytes
    to_come: int
    closes: bool


class Door:
    """Refuses whole requests, as they came.

    Args:
        state: uvicorn's, whose headers every answer has.
        has_hsts: whether browsers are told to use TLS from now on.
    """

    def __init__(self, state: ServerState, *, has_hsts: bool) -> None:
        self._state = state
        self._has_hsts = has_hsts
        self._headers: list[tuple[bytes, bytes]] | None = None
        self._answer = self._id = b""

    def lets_in(self) -> bool:
        """Tell whether the door is open, and expect whoever comes in."""
        if admission.is_closed and not draining.has_begun:
            return False
        admission.expect_one()
        return True

    def refuse(self, data: bytes) -> Refused | None:
        """Refuse what has come to a closed door, where nothing else is on its way.

        Returns:
            `None` where it is not plainly one request, or from somebody who is always let in.
        """
        head = _HEAD.match(data)
        if head is None:
            return None
        path, length, given, close = head.groups()
        to_come = int(length or 0) - (len(data) - head.end())
        has_more = to_come < 0 or len(_LENGTH.findall(data, 0, head.end())) > 1
        if has_more or (to_come and close):
            return None
        if not admission.turns_away(path.decode()):
            return None
        if close or given is not None:
            answer = self._render((given or b"").strip(), *((_CLOSE,) if close else ()))
        else:
            answer = self._usual_answer()
        return Refused(answer, to_come, close is not None)

    def _usual_answer(self) -> bytes:
        if self._headers is not self._state.default_headers:  # made anew each second
            self._headers = self._state.default_headers
            self._id = token_hex(16).encode()
            self._answer = self._render(self._id)
        return self._answer.replace(self._id, token_hex(16).encode())

    def _render(self, request_id: bytes, *more: tuple[bytes, bytes]) -> bytes:
        headers, body = refusal_at_door(request_id, has_hsts=self._has_hsts)
        lines = [STATUS_LINE[HTTPStatus.SERVICE_UNAVAILABLE]]
        for name, value in (*self._state.default_headers, *headers, *more):
            lines += [name, b": ", value, b"\r\n"]
        return b"".join([*lines, b"\r\n", body])
