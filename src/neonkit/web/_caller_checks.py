"""What is told before faults of the input: the path's own, and 401; and one check at start."""

from http import HTTPStatus

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection
from starlette.types import Scope

from neonkit._seams.fastapi import Dependant, dependant_of, routes_of
from neonkit.errors import ProblemError
from neonkit.web._bearer_token import bearer_token
from neonkit.web._callers import ASKING, no_principal
from neonkit.web._problems import told_after
from neonkit.web._runtime import Runtime
from neonkit.web._served_routes import ServedRoute


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
    """Put what the path and then the token alone show before a fault of the request's input."""
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return _with_all_methods(scope, error)
    after = told_after(error, Runtime.of(scope).problems)
    if after == "nothing":
        return error
    served = ServedRoute.of(scope)
    if served.fault is not None:
        return served.fault
    if after == "token" and _asks(served.dependant):
        return _token_fault(HTTPConnection(scope)) or error
    return error


def _with_all_methods(scope: Scope, error: HTTPException) -> HTTPException:
    """Starlette names the methods of the first route of a path only, and each has its own."""
    if error.headers is None or "Allow" not in error.headers:  # a route of the app's said it
        return error
    return ServedRoute.of(scope).fault or error


def _token_fault(connection: HTTPConnection) -> ProblemError | None:
    try:
        Runtime.of(connection).read_known_token(bearer_token(connection))
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
