"""Route names for logs and metrics: a template such as `/posts/{id}`, never a path."""

from starlette.routing import Mount
from starlette.types import Scope

from neonkit._seams.fastapi import Routed, path_template_of, routes_of

UNMATCHED = "-"
_ENTRY = "neonkit.entry"


def note_entry(scope: Scope) -> None:
    """Keep where a request enters, before an app that is mounted puts itself into the scope."""
    scope[_ENTRY] = scope["app"], scope.get("root_path", "")


def route_of(scope: Scope) -> str:
    """The template of the route that matched, such as `/posts/{id}`; `-` where none did.

    A mounted app's begins with where it is mounted. What only a mount matches, such as a file, is
    called by the mount: `/static/{path}`.
    """
    template = path_template_of(scope)
    mount = _mount_of(scope)
    if mount:
        return mount + (template or "/{path}")
    return template or UNMATCHED


def _mount_of(scope: Scope) -> str:
    """The template of the mounts that a request went through; empty where there was none."""
    app, root_path = scope.get(_ENTRY, (None, ""))
    path: str = scope.get("root_path", "").removeprefix(root_path)
    return _mounts(app, path) if app is not None and path else ""


def _mounts(place: Routed, path: str) -> str:
    for context in routes_of(place):
        mount = context.original_route
        if isinstance(mount, Mount) and (found := context.path_regex.match(f"{path}/")):
            inside: str = found["path"].rstrip("/")
            return f"{context.path}{_mounts(mount, f'/{inside}') if inside else ''}"
    return ""


def method_of(scope: Scope) -> str:
    """The request's method; a WebSocket, which has none, is called `WEBSOCKET`."""
    method: str = scope.get("method", "WEBSOCKET")
    return method
