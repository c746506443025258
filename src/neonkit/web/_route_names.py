"""Route names for logs and metrics: a template such as `/posts/{id}`, never a path."""

from starlette.types import Scope

UNMATCHED = "-"


def route_of(scope: Scope) -> str:
    """The template of the route that matched, such as `/posts/{id}`; `-` where none did."""
    # FastAPI keeps the template of an included route, prefixes and all, in a scope of its own
    included = scope.get("fastapi", {}).get("effective_route_context")
    return getattr(included or scope.get("route"), "path_format", None) or UNMATCHED


def method_of(scope: Scope) -> str:
    """The request's method; a WebSocket, which has none, is called `WEBSOCKET`."""
    method: str = scope.get("method", "WEBSOCKET")
    return method
