"""What the app as a whole does about callers: a check at start, 401 first, the way to sign in."""

from collections.abc import Callable
from typing import Any

from fastapi import FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.routing import iter_route_contexts
from fastapi.security import OAuth2PasswordRequestForm, OAuth2PasswordRequestFormStrict
from starlette.requests import HTTPConnection
from starlette.routing import Match
from starlette.types import Scope

from neonkit.auth import read_access_token
from neonkit.errors import (
    IdempotencyKeyInvalidError,
    IdempotencyKeyMissingError,
    MalformedHeaderError,
    MalformedJsonError,
    PayloadTooLargeError,
    ProblemError,
    RequestInvalidError,
    UnsupportedMediaTypeError,
)
from neonkit.web._bearer_token import SCHEME, bearer_token
from neonkit.web._callers import get_caller, get_principal, no_principal
from neonkit.web._runtime import Runtime
from neonkit.web._session_dependencies import runtime_of

_ASKING = {get_caller, get_principal}
_PASSWORD_FORMS = (OAuth2PasswordRequestForm, OAuth2PasswordRequestFormStrict)
_FAULTS_OF_INPUT = (
    RequestValidationError,
    IdempotencyKeyInvalidError,
    IdempotencyKeyMissingError,
    MalformedHeaderError,
    MalformedJsonError,
    PayloadTooLargeError,
    RequestInvalidError,
    UnsupportedMediaTypeError,
)


def check_principal(app: FastAPI) -> None:
    """Refuse to start an app that asks who calls, but was not told where they are.

    Raises:
        ConfigurationError: with the line to add.
    """
    runtime: Runtime = app.state.neonkit
    if runtime.principal is not None or app.dependency_overrides.keys() & _ASKING:
        return
    for context in iter_route_contexts(app.routes):
        if _uses(getattr(context, "dependant", None), get_caller):
            methods = "/".join(sorted(context.methods or ["WEBSOCKET"]))
            raise no_principal(f"{methods} {context.path}")


def told_first(scope: Scope, error: Exception) -> Exception:
    """Put what the token alone shows before a fault of the input: strangers learn nothing of it."""
    if not isinstance(error, _FAULTS_OF_INPUT):
        return error
    for context in iter_route_contexts(scope["app"].routes):
        if context.matches(scope)[0] is Match.FULL:
            if _uses(getattr(context, "dependant", None), get_caller):
                return _token_fault(HTTPConnection(scope)) or error
            break
    return error


def _token_fault(connection: HTTPConnection) -> ProblemError | None:
    try:
        read_access_token(runtime_of(connection).tokens, bearer_token(connection))
    except ProblemError as fault:
        return fault
    return None


def document_security(app: FastAPI) -> None:
    """Let `/docs` sign in at the route that takes FastAPI's password form, if there is one."""
    generate = app.openapi

    def openapi() -> dict[str, Any]:
        if app.openapi_schema is not None:
            return app.openapi_schema
        schema = generate()
        schemes = schema.get("components", {}).get("securitySchemes", {})
        path = _password_form_path(app)
        if SCHEME in schemes and path is not None:
            flow = {"tokenUrl": path.removeprefix("/"), "scopes": {}}
            schemes[SCHEME] = {"type": "oauth2", "flows": {"password": flow}}
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the schema


def _password_form_path(app: FastAPI) -> str | None:
    for context in iter_route_contexts(app.routes):
        dependant = getattr(context, "dependant", None)
        if any(_uses(dependant, form) for form in _PASSWORD_FORMS):
            return context.path
    return None


def takes_password_form(scope: Scope) -> bool:
    """Whether the route of a request takes FastAPI's password form (RFC 6749, section 4.3.2)."""
    for context in iter_route_contexts(scope["app"].routes):
        if context.matches(scope)[0] is Match.FULL:
            dependant = getattr(context, "dependant", None)
            return any(_uses(dependant, form) for form in _PASSWORD_FORMS)
    return False


def _uses(dependant: Dependant | None, call: Callable[..., Any]) -> bool:
    """Whether a dependency, or an instance of it, is anywhere among a route's."""
    if dependant is None:
        return False
    is_it = dependant.call is call or type(dependant.call) is call
    return is_it or any(_uses(inner, call) for inner in dependant.dependencies)
