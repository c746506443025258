"""The access log: one line for each request, with the route's template, never the path."""

import logging

from starlette.types import Scope as ConnectionScope

from neonkit.db import Scope
from neonkit.web._route_names import method_of, route_of

_log = logging.getLogger("neonkit.access")


def log_access(
    scope: ConnectionScope, request_id: str, status: int | None, seconds: float, spent: Scope
) -> None:
    """Write the line.

    Args:
        scope: the request's.
        request_id: its id.
        status: of the response, or a WebSocket's close code; `None` where nothing was sent.
        seconds: until the response began, or the whole time of a WebSocket.
        spent: what the database took of it.
    """
    _log.info(
        "%s %s %s %.1f ms, %d round trips",
        method_of(scope),
        route_of(scope),
        "-" if status is None else status,
        seconds * 1000,
        spent.trips,
        extra={
            "request_id": request_id,
            "method": method_of(scope),
            "route": route_of(scope),
            "status": status,
            "milliseconds": round(seconds * 1000, 1),
            "database_milliseconds": round(spent.seconds * 1000, 1),
            "round_trips": spent.trips,
        },
    )
