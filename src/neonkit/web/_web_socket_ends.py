"""Ends of WebSockets: a refused handshake before the app accepted, a close code after."""

from contextvars import ContextVar
from http import HTTPStatus

from starlette.responses import Response
from starlette.types import Message, Receive, Scope, Send

_REFUSED = (1008, "The caller may not do this.")  # RFC 6455 section 7.4.1: policy violation
_FAILED = (1011, "Something went wrong on our side.")
_REFUSALS = {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
_DENIAL = "websocket.http.response"  # the ASGI extension that lets a handshake be refused in words

is_denied: ContextVar[bool] = ContextVar("neonkit.is_denied", default=False)
"""Set where the handshake of this task's connection was refused in words."""


class WebSocketEnd:
    """A WebSocket that is ended by what the app raised.

    Before the handshake is over the client gets the problem document, or a bare 403 from a server
    without the extension. After it: 1008 where the caller is unknown or may not, else 1011.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self._scope = scope
        self._receive = receive
        self._send = send
        self._is_accepted = False
        self._is_over = False

    async def receive(self) -> Message:
        """Receive, and note that the client has gone."""
        message = await self._receive()
        self._is_over = self._is_over or message["type"] == "websocket.disconnect"
        return message

    async def send(self, message: Message) -> None:
        """Send, and note how far the conversation is."""
        kind = message["type"]
        self._is_accepted = self._is_accepted or kind == "websocket.accept"
        self._is_over = self._is_over or kind in {"websocket.close", f"{_DENIAL}.start"}
        await self._send(message)

    async def end(self, response: Response) -> None:
        """End it, unless it has ended.

        Args:
            response: the problem document of what ended it.
        """
        if self._is_over:
            return
        if not self._is_accepted and _DENIAL in self._scope.get("extensions", {}):
            is_denied.set(True)
            await response(self._scope, self.receive, self.send)
            return
        code, reason = _REFUSED if is_refusal(response) else _FAILED
        await self.send({"type": "websocket.close", "code": code, "reason": reason})


def is_refusal(response: Response) -> bool:
    """Tell if the caller is unknown or may not, rather than something having failed."""
    return response.status_code in _REFUSALS
