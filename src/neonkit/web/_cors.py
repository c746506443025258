"""CORS, whose refusals are problem documents like all others."""

from http import HTTPStatus

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import Response
from starlette.types import Receive, Scope, Send

from neonkit.errors import MalformedHeaderError
from neonkit.web._problems import TABLE, document

_REFUSED = "A browser may not send this from there: CORS_ORIGINS names who may."


class CorsMiddleware(CORSMiddleware):
    """Starlette's, which answers preflight requests itself."""

    def preflight_response(self, request_headers: Headers) -> Response:
        """Allow what the browser asks for, or refuse it."""
        response = super().preflight_response(request_headers)
        return response if response.status_code == HTTPStatus.OK else _Refusal()


class _Refusal(Response):
    """The answer to a preflight request that is refused; written when the request is known."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        request_id = scope.get("state", {}).get("request_id", "")
        vary = {"Vary": "Origin"}
        told = document(TABLE[MalformedHeaderError], _REFUSED, request_id, headers=vary)
        await told(scope, receive, send)
