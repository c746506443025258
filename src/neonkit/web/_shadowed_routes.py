"""Shadowed routes: those of two that have one address of which only the first is ever reached."""

import logging
import re
from collections.abc import Iterator
from typing import Any, NamedTuple

from fastapi import FastAPI
from starlette.routing import Mount

from neonkit._seams.fastapi import routes_of

_log = logging.getLogger("neonkit")

_PIECES = {
    "neonkit.web._docs_page": "docs",
    "neonkit.web._health_routes": "health",
    "neonkit.web._metrics_route": "metrics",
}


class _Served(NamedTuple):
    """A route or a mounted app at its address.

    Attributes:
        methods: of HTTP; empty for a mounted app, which takes all.
        path: the template.
        pattern: what it matches.
        name: what stands there, for people.
        piece: which of ours it is; `None` for one of the app's.
    """

    methods: frozenset[str]
    path: str
    pattern: re.Pattern[str]
    name: str
    piece: str | None

    def covers(self, later: "_Served") -> bool:
        """Tell if nothing that the later one would take gets past this one."""
        is_taken = not self.methods or later.methods <= self.methods
        return is_taken and self.pattern.match(later.path) is not None


def name_shadowed_routes(app: FastAPI) -> None:
    """Say at start which routes of the app's stand behind one of ours, and which of ours do."""
    before: list[_Served] = []
    for each in _served(app):
        others = (first for first in before if first.piece != each.piece)
        shadow = next((first for first in others if first.covers(each)), None)
        if shadow is not None:
            _log.warning("%s", _sentence(shadow, each))
        before.append(each)


def _sentence(first: _Served, dead: _Served) -> str:
    address = f"{'/'.join(sorted(dead.methods))} {dead.path}".strip()
    if first.piece is None:
        return (
            f"neonkit's {address} is never reached, because {first.name} comes before it: call "
            f"`neonkit.install` before you add that, or write `without={{{dead.piece!r}}}` there"
        )
    return (
        f"{dead.name} at {address} is never reached, because neonkit has a route there: take "
        "another path, or leave neonkit's out with "
        f"`neonkit.install(app, without={{{first.piece!r}}})`"
    )


def _served(app: FastAPI) -> Iterator[_Served]:
    for context in routes_of(app):
        endpoint: Any = context.endpoint
        module = getattr(endpoint, "__module__", "")
        name = f"`{getattr(endpoint, '__name__', context.name)}` of {module}"
        methods = frozenset(context.methods or ()) - {"HEAD"}
        if isinstance(context.original_route, Mount):
            name, methods = f"the app mounted as {context.path or '/'}", frozenset()
        elif not methods:  # a WebSocket, which no route of ours is
            continue
        yield _Served(methods, context.path or "/", context.path_regex, name, _PIECES.get(module))
