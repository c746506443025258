"""The watch over a client: one that hangs up stops the request that it was waiting for."""

import asyncio
from collections import deque
from collections.abc import Callable

from starlette.types import Message, Receive
from starlette.types import Scope as ConnectionScope

_PATIENCE = 0.2  # seconds: most requests are over before, and cost no task of their own


class ClientWatch:
    """Takes the app's place at `receive` once its request has come whole, and tells of the end.

    It reads nothing that an app could miss: what came is handed on when the app asks.

    Args:
        scope: the ASGI scope of the request.
        receive: the server's.
        on_hang_up: called when the client has gone.

    Attributes:
        is_receiving: whether the app waits for a message, or gave up waiting for one.
    """

    def __init__(
        self, scope: ConnectionScope, receive: Receive, on_hang_up: Callable[[], None]
    ) -> None:
        self.is_receiving = False
        self._receive = receive
        self._on_hang_up = on_hang_up
        self._has_all = _has_no_body(scope)
        self._came: deque[Message] = deque()
        self._watching: asyncio.Task[None] | None = None
        self._arrival: asyncio.Future[None] | None = None
        self._is_due = self._is_asking = False
        self._timer = asyncio.get_running_loop().call_later(_PATIENCE, self._begin)

    async def receive(self) -> Message:
        """What the app receives."""
        self.is_receiving = True
        message = await self._next()
        self.is_receiving = False
        if message["type"] == "http.request" and not message.get("more_body", False):
            self._has_all = True
            if self._is_due:
                self._begin()
        return message

    def end(self) -> None:
        """Watch no longer."""
        self._timer.cancel()
        if self._watching is not None:
            self._watching.cancel()

    async def _next(self) -> Message:
        while self._watching is not None and not self._came:
            # the app may give up this wait, such as `Request.is_disconnected` does
            if self._arrival is None:
                self._arrival = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._arrival)
        if not self._came:
            return await self._ask()
        message = self._came[0]
        if message["type"] != "http.disconnect":  # which is told again and again
            self._came.popleft()
        return message

    async def _ask(self) -> Message:
        self._is_asking = True
        try:
            return await self._receive()
        finally:
            self._is_asking = False

    def _begin(self) -> None:
        self._is_due = True
        if self._has_all and self._watching is None and not self._is_asking:
            self._watching = asyncio.get_running_loop().create_task(self._watch())

    async def _watch(self) -> None:
        message: Message = {"type": "http.request"}
        while message["type"] != "http.disconnect":
            message = await self._ask()
            self._came.append(message)
            if self._arrival is not None:
                self._arrival.set_result(None)
                self._arrival = None
        self._on_hang_up()


def _has_no_body(scope: ConnectionScope) -> bool:
    for name, value in scope["headers"]:
        if name == b"transfer-encoding" or (name == b"content-length" and value != b"0"):
            return False
    return True
