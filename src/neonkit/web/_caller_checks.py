"""What is told before faults of the input: the path's own, 429 and 401; and one check at start."""

from collections.abc import Iterator
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
from neonkit.web._throttling import EarlyThrottle


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
    """Put what the path, the throttles and the token show before a fault of the request's input."""
    if isinstance(error, HTTPException) and error.status_code == HTTPStatus.METHOD_NOT_ALLOWED:
        return _with_all_methods(scope, error)
    after = told_after(error, Runtime.of(scope).problems)
    if after == "nothing":
        return error
    served = ServedRoute.of(scope)
    if served.fault is not None:
        return served.fault
    if after == "token":
        connection = HTTPConnection({**scope, "route": served.context})
        return _head_fault(served.dependant, connection) or error
    return error


def _with_all_methods(scope: Scope, error: HTTPException) -> HTTPException:
    """Starlette names the methods of the first route of a path only, and each has its own."""
    if error.headers is None or "Allow" not in error.headers:  # a route of the app's said it
        return error
    return ServedRoute.of(scope).fault or error


def _head_fault(dependant: Dependant | None, connection: HTTPConnection) -> ProblemError | None:
    """What was tried too often, and then a token that does not hold."""
    try:
        for each in calls_of(dependant):
            if isinstance(each, EarlyThrottle):
                each.refuse(connection)
        if _asks(dependant):
            Runtime.of(connection).read_known_token(bearer_token(connection))
    except ProblemError as fault:
        return fault
    return None


def _asks(dependant: Dependant | None) -> bool:
    """Tell if a route asks who calls."""
    return any(each is asking for each in calls_of(dependant) for asking in ASKING)


def uses(dependant: Dependant | None, kind: type) -> bool:
    """Tell if a class, or an instance of it, is anywhere among a route's dependencies."""
    return any(each is kind or type(each) is kind for each in calls_of(dependant))


def calls_of(dependant: Dependant | None) -> Iterator[object]:
    """What FastAPI calls to solve a route's dependencies, those of dependencies included."""
    if dependant is not None:
        yield dependant.call
        for inner in dependant.dependencies:
            yield from calls_of(inner)
