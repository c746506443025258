"""Checks of callers for the app as a whole: one at start, and 401 before faults of the input."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import iter_route_contexts
from starlette.requests import HTTPConnection
from starlette.routing import Match
from starlette.types import Scope

from neonkit.auth import read_access_token
from neonkit.errors import ProblemError
from neonkit.web._bearer_token import bearer_token
from neonkit.web._callers import get_caller, get_principal, no_principal
from neonkit.web._problems import is_about_input
from neonkit.web._runtime import Runtime

_ASKING = {get_caller, get_principal}


def check_principal(app: FastAPI) -> None:
    """Refuse to start an app that asks who calls, but was not told where they are.

    Raises:
        ConfigurationError: with the line to add.
    """
    if Runtime.of(app).principal is not None or app.dependency_overrides.keys() & _ASKING:
        return
    for context in iter_route_contexts(app.routes):
        if uses(getattr(context, "dependant", None), get_caller):
            methods = "/".join(sorted(context.methods or ["WEBSOCKET"]))
            raise no_principal(f"{methods} {context.path}")


def told_first(scope: Scope, error: Exception) -> Exception:
    """Put what the token alone shows before a fault of the input: strangers learn nothing of it."""
    if not is_about_input(error, Runtime.of(scope).problems):
        return error
    for context in iter_route_contexts(scope["app"].routes):
        if context.matches(scope)[0] is Match.FULL:
            if uses(getattr(context, "dependant", None), get_caller):
                return _token_fault(HTTPConnection(scope)) or error
            break
    return error


def _token_fault(connection: HTTPConnection) -> ProblemError | None:
    try:
        read_access_token(Runtime.of(connection).tokens, bearer_token(connection))
    except ProblemError as fault:
        return fault
    return None


def uses(dependant: Dependant | None, call: Callable[..., Any]) -> bool:
    """Tell if a dependency, or an instance of it, is anywhere among a route's."""
    if dependant is None:
        return False
    is_it = dependant.call is call or type(dependant.call) is call
    return is_it or any(uses(inner, call) for inner in dependant.dependencies)
