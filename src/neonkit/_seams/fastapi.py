"""The inside of FastAPI: routes as they are served, their dependencies, and a request's scope."""

from collections.abc import Callable, Iterator, MutableMapping
from contextlib import AsyncExitStack
from typing import Any, Final, Protocol

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, RouteContext, iter_route_contexts

from neonkit._seams.record import ATTRIBUTE, LITERAL, Seam

__all__ = [
    "SEAMS",
    "Dependant",
    "RouteContext",
    "Routed",
    "dependant_of",
    "function_stack_of",
    "model_of",
    "name_operations",
    "path_template_of",
    "routes_of",
]

_FUNCTION_STACK = "fastapi_function_astack"


class Routed(Protocol):
    """An app, or a mount of one."""

    @property
    def routes(self) -> list[Any]:
        """What it serves."""
        ...


def routes_of(place: Routed) -> Iterator[RouteContext]:
    """Every route that an app or a mount serves, those of included routers with their prefixes."""
    return iter_route_contexts(place.routes)


def dependant_of(context: RouteContext) -> Dependant | None:
    """The dependencies of a route; `None` of one that FastAPI does not solve, such as a mount."""
    dependant: Dependant | None = getattr(context, "dependant", None)
    return dependant


def model_of(context: RouteContext) -> object | None:
    """The model that a route answers with; `None` where it declares none."""
    field: object | None = getattr(context, "response_field", None)
    return field


def path_template_of(scope: MutableMapping[str, Any]) -> str | None:
    """The path that matched, as it was declared, such as `/posts/{id}`; `None` where none did."""
    # an included route's template, prefixes and all, stands in a scope of FastAPI's own
    included = scope.get("fastapi", {}).get("effective_route_context")
    found = (getattr(each, "path_format", None) for each in (included, scope.get("route")))
    return next((template for template in found if template is not None), None)


def function_stack_of(scope: MutableMapping[str, Any]) -> AsyncExitStack | None:
    """The stack that FastAPI ends after the handler and before the answer; `None` elsewhere."""
    stack: AsyncExitStack | None = scope.get(_FUNCTION_STACK)
    return stack


def name_operations(app: FastAPI, name: Callable[[APIRoute], str]) -> None:
    """Say how the operations of routes that are still to come are called in the schema."""
    app.router.generate_unique_id_function = name


_CALLERS = "a stranger learns of faults in the input before the token is looked at"

SEAMS: Final = (
    Seam("fastapi.routing", "iter_route_contexts", "(routes)", _CALLERS),
    Seam("fastapi.routing:RouteContext", "path", ATTRIBUTE, "`/docs` has no way to sign in"),
    Seam("fastapi.routing:RouteContext", "methods", ATTRIBUTE, "the start check names no method"),
    Seam(
        "fastapi.routing:RouteContext",
        "original_route",
        ATTRIBUTE,
        "the walk over who may what calls mounted apps WebSockets",
    ),
    Seam("fastapi.routing:APIRoute", "matches", "(self, scope)", _CALLERS),
    Seam("fastapi.routing:APIRoute", "dependant", ATTRIBUTE, _CALLERS),
    Seam(
        "fastapi.routing:APIRoute",
        "response_field",
        ATTRIBUTE,
        "who asks for XML alone gets JSON, and no 406",
    ),
    Seam("fastapi.dependencies.models:Dependant", "call", ATTRIBUTE, _CALLERS),
    Seam("fastapi.dependencies.models:Dependant", "dependencies", ATTRIBUTE, _CALLERS),
    Seam(
        "fastapi.routing",
        "effective_route_context",
        LITERAL,
        "log lines and metrics of included routes are labelled without their prefix, or `-`",
    ),
    Seam(
        "fastapi.routing:APIRoute",
        "path_format",
        ATTRIBUTE,
        "log lines and metrics are labelled `-`",
    ),
    Seam(
        "fastapi.routing",
        _FUNCTION_STACK,
        LITERAL,
        "a session costs each request a generator again",
    ),
    Seam(
        "fastapi.routing:APIRouter",
        "generate_unique_id_function",
        ATTRIBUTE,
        "generated clients call `create_post` by FastAPI's long name",
    ),
)
