"""Checks of callers for the app as a whole: one at start, and 401 before faults of the input."""

from fastapi import FastAPI
from starlette.requests import HTTPConnection
from starlette.routing import Match
from starlette.types import Scope

from neonkit._seams.fastapi import Dependant, dependant_of, routes_of
from neonkit.auth import read_access_token
from neonkit.errors import ProblemError
from neonkit.web._bearer_token import bearer_token
from neonkit.web._callers import ASKING, no_principal
from neonkit.web._problems import is_about_input
from neonkit.web._runtime import Runtime


def check_principal(app: FastAPI) -> None:
    """Refuse to start an app that asks who calls, but was not told where they are.

    Raises:
        ConfigurationError: with the line to add.
    """
    if Runtime.of(app).principal is not None or app.dependency_overrides.keys() & ASKING:
        return
    for context in routes_of(app):
        if _asks(dependant_of(context)):
            methods = "/".join(sorted(context.methods or ["WEBSOCKET"]))
            raise no_principal(f"{methods} {context.path}")


def told_first(scope: Scope, error: Exception) -> Exception:
    """Put what the token alone shows before a fault of the input: strangers learn nothing of it."""
    if not is_about_input(error, Runtime.of(scope).problems):
        return error
    for context in routes_of(scope["app"]):
        if context.matches(scope)[0] is Match.FULL:
            if _asks(dependant_of(context)):
                return _token_fault(HTTPConnection(scope)) or error
            break
    return error


def _token_fault(connection: HTTPConnection) -> ProblemError | None:
    try:
        read_access_token(Runtime.of(connection).tokens, bearer_token(connection))
    except ProblemError as fault:
        return fault
    return None


def _asks(dependant: Dependant | None) -> bool:
    """Tell if a route asks who calls."""
    return any(uses(dependant, asking) for asking in ASKING)


def uses(dependant: Dependant | None, call: object) -> bool:
    """Tell if a dependency, or an instance of it, is anywhere among a route's."""
    if dependant is None:
        return False
    is_it = dependant.call is call or type(dependant.call) is call
    return is_it or any(uses(inner, call) for inner in dependant.dependencies)
