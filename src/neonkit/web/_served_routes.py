"""Routes that a request could reach, and what its path and its method alone show."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from fastapi.datastructures import DefaultPlaceholder
from starlette.exceptions import HTTPException
from starlette.responses import JSONResponse
from starlette.routing import Match
from starlette.types import Scope

from neonkit._seams.fastapi import Dependant, RouteContext, dependant_of, model_of, routes_of


@dataclass(frozen=True)
class ServedRoute:
    """What a request's path and method lead to.

    Attributes:
        context: the route; `None` where there is none.
        methods: of all routes of this path, where none of them takes the request's.
    """

    context: RouteContext | None
    methods: frozenset[str] = frozenset()

    @classmethod
    def of(cls, scope: Scope) -> "ServedRoute":
        """Find it, as the app's router will."""
        methods: set[str] = set()
        for context in routes_of(scope["app"]):
            match, _ = context.matches(scope)
            if match is Match.FULL:
                return cls(context)
            if match is Match.PARTIAL:
                methods |= context.methods or set()
        return cls(None, frozenset(methods))

    @property
    def dependant(self) -> Dependant | None:
        """Its dependencies, where FastAPI solves them."""
        return None if self.context is None else dependant_of(self.context)

    @property
    def fault(self) -> HTTPException | None:
        """404, or 405 with every method that this path has; `None` where there is a route."""
        if self.context is not None:
            return None
        if not self.methods:
            return HTTPException(HTTPStatus.NOT_FOUND)
        allow = {"Allow": ", ".join(sorted(self.methods))}
        return HTTPException(HTTPStatus.METHOD_NOT_ALLOWED, headers=allow)

    @property
    def gives_json_only(self) -> bool:
        """True if it declares what it answers with, and that this is written as JSON."""
        kind: Any = getattr(self.context, "response_class", None)
        if isinstance(kind, DefaultPlaceholder):
            kind = kind.value
        is_json = isinstance(kind, type) and issubclass(kind, JSONResponse)
        return is_json and self.context is not None and model_of(self.context) is not None
