"""The head of a request is bounded before anything of ours or of the app's parses it; pure ASGI."""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from starlette.types import ASGIApp, Receive, Scope, Send

from neonkit.errors import (
    FieldProblem,
    HeaderTooLargeError,
    MalformedHeaderError,
    NotAcceptableError,
    ProblemError,
    RequestInvalidError,
    UriTooLongError,
)
from neonkit.web._media_types import admits_json, read_media_type
from neonkit.web._problems import TABLE, document
from neonkit.web._request_ids import usable_request_id
from neonkit.web._security_headers import headers_of_refusal
from neonkit.web._served_routes import ServedRoute

ONCE = frozenset(
    {
        b"authorization",
        b"content-encoding",
        b"content-length",
        b"content-type",
        b"host",
        b"if-match",
        b"origin",
    }
)
"""Headers of which a second one would be read by some and overlooked by others."""


_EVERYTHING = [b"*/*"]


@dataclass(frozen=True)
class HeadPolicy:
    """Bounds of what a client says before its body.

    Attributes:
        target_bytes: of the request target, path and query together.
        header_bytes: of all names and values, with the four bytes that each line adds.
        fields: how many header lines.
        parameters: how many parameters of the query string: FastAPI looks through all of them
            for each one that a model of parameters does not know.
    """

    target_bytes: int = 8 * 1024
    header_bytes: int = 32 * 1024
    fields: int = 100
    parameters: int = 256

    def fault_of_headers(self, headers: Iterable[tuple[bytes, bytes]]) -> ProblemError | None:
        """Find what is wrong with header lines (names in lower case); `None` where nothing is."""
        lines = list(headers)
        size = sum(len(name) + len(value) + 4 for name, value in lines)
        if size > self.header_bytes or len(lines) > self.fields:
            return HeaderTooLargeError(self.header_bytes, self.fields)
        names = [name for name, _ in lines]
        if len(set(names)) < len(names):
            twice = sorted(name for name, times in Counter(names).items() if times > 1)
            if found := next((name for name in twice if name in ONCE), None):
                return MalformedHeaderError(f"The header {found.decode()} may stand only once.")
        return None


class HeadMiddleware:
    """Refuses a request whose target or header lines no reader should be given.

    So it does where `Accept` leaves out JSON, and the route gives nothing else.

    `neonkit serve` refuses the same while it reads, and bounds its memory by it; this is for
    other servers, whose own limits differ.

    Args:
        app: what it wraps.
        policy: the bounds.
    """

    def __init__(self, app: ASGIApp, *, policy: HeadPolicy | None = None) -> None:
        self.app = app
        self.policy = policy or HeadPolicy()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run one request."""
        if scope["type"] == "http":
            self._check(scope)
        await self.app(scope, receive, send)

    def _check(self, scope: Scope) -> None:
        query: bytes = scope["query_string"]
        path = scope.get("raw_path") or scope["path"].encode("utf-8", "replace")
        if len(path) + len(query) > self.policy.target_bytes:
            raise UriTooLongError(self.policy.target_bytes)
        if fault := self.policy.fault_of_headers(scope["headers"]):
            raise fault
        if not _is_acceptable(scope):
            raise NotAcceptableError
        if query.count(b"&") >= self.policy.parameters:
            message = f"There may be at most {self.policy.parameters} parameters."
            raise RequestInvalidError(errors=[FieldProblem("/query", "too_many", message)])
        for name, value in scope["headers"]:
            if name == b"content-type":
                read_media_type(value)


def _is_acceptable(scope: Scope) -> bool:
    """True if the client takes JSON, or the route may give something else."""
    ranges = [value for name, value in scope["headers"] if name == b"accept"]
    if not ranges or ranges == _EVERYTHING or admits_json(b",".join(ranges)):
        return True
    return not ServedRoute.of(scope).gives_json_only


def refusal_of(
    error: ProblemError, request_id: bytes, *, has_hsts: bool
) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Write the answer to a request that no app can be given, and that ends its connection.

    Args:
        error: why.
        request_id: what the client gave as its own, as far as it was read.
        has_hsts: whether browsers are told to use TLS from now on.

    Returns:
        status, headers and body.
    """
    chosen = usable_request_id(request_id)
    headers = {
        **headers_of_refusal(has_hsts=has_hsts),
        "Connection": "close",
        "X-Request-ID": chosen,
        "X-Process-Time": "0.000s",
        "Server-Timing": 'app;dur=0.0, db;dur=0.0, trips;desc="0"',
    }
    response = document(TABLE[type(error)], str(error), chosen, headers=headers)
    return response.status_code, response.raw_headers, bytes(response.body)
