"""The problem middleware: an error of ours, or of the database's, becomes its problem document."""

from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from neonkit.web._defects import report_defect
from neonkit.web._error_answers import answer_to
from neonkit.web._request_middleware import request_in
from neonkit.web._web_socket_ends import WebSocketEnd, is_refusal


class ProblemMiddleware:
    """Answers the errors that have a place in the table of problems; lets every other one pass.

    What passes is a defect: middleware of the app's sees it as it would without neonkit, and
    `answer_defect` has the last word.
    """

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        request = request_in(scope)
        if request is not None:
            request.scope = scope
        if scope["type"] == "http":
            await self._answer(scope, receive, send)
        elif scope["type"] == "websocket":
            await self._converse(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        has_started = False

        async def watch(message: Message) -> None:
            nonlocal has_started
            has_started = has_started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self.app(scope, receive, watch)
        except Exception as error:
            response, is_expected = answer_to(scope, error)
            if has_started or not is_expected:
                raise
            await response(scope, receive, send)

    async def _converse(self, scope: Scope, receive: Receive, send: Send) -> None:
        socket = WebSocketEnd(scope, receive, send)
        try:
            await self.app(scope, socket.receive, socket.send)
        except WebSocketDisconnect:
            return  # the client left, and the app was still listening: nothing is wrong
        except Exception as error:
            response, is_expected = answer_to(scope, error)
            if not is_expected:
                raise
            if not is_refusal(response):
                report_defect(scope, error)
            await socket.end(response)
