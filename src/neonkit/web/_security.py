"""Who calls: the bearer token's owner as a dependency, and what they may."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.models import HTTPBearer as BearerModel
from fastapi.routing import iter_route_contexts
from fastapi.security import OAuth2PasswordRequestForm, OAuth2PasswordRequestFormStrict
from fastapi.security.base import SecurityBase
from starlette.requests import HTTPConnection
from starlette.routing import Match
from starlette.types import Scope

from neonkit.auth import TokenPolicy, read_access_token
from neonkit.errors import (
    ConfigurationError,
    ForbiddenError,
    IdempotencyKeyInvalidError,
    IdempotencyKeyMissingError,
    InvalidTokenError,
    MalformedHeaderError,
    MalformedJsonError,
    PayloadTooLargeError,
    ProblemError,
    RequestInvalidError,
    UnauthorizedError,
    UnsupportedMediaTypeError,
)
from neonkit.web._runtime import Runtime
from neonkit.web._sessions import DatabaseDep, runtime_of

_SCHEME = "Bearer"
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
_NO_PRINCIPAL = (
    "{asker} asks who calls, but nobody said where users are kept: add to the install "
    "call `neonkit.install(app, principal=find_user)`, a function from a token's subject to "
    "`select(User.id, User.role, User.is_active).where(…)`"
)


@dataclass(frozen=True)
class Principal:
    """Who calls, as the database knew them when the request came.

    Attributes:
        id: the user's.
        role: what they are, such as `admin`.
    """

    id: int
    role: str


class BearerScheme(SecurityBase):
    """The header `Authorization: Bearer …` (RFC 6750), read strictly."""

    def __init__(self) -> None:
        self.scheme_name = _SCHEME
        self.model = BearerModel(bearerFormat="JWT")

    async def __call__(self, connection: HTTPConnection) -> str:
        """Give the token.

        Raises:
            UnauthorizedError: there is no such header, more than one, or one of another scheme.
        """
        return bearer_token(connection)


def bearer_token(connection: HTTPConnection) -> str:
    """The token of the one `Authorization` header; a query parameter is never looked at.

    Raises:
        UnauthorizedError: there is no such header, more than one, or one of another scheme.
    """
    headers = connection.headers.getlist("authorization")
    scheme, _, token = headers[0].partition(" ") if len(headers) == 1 else ("", "", "")
    if scheme.lower() != "bearer" or not token.strip():
        raise UnauthorizedError
    return token.strip()


async def get_token_policy(connection: HTTPConnection) -> TokenPolicy:
    """How this app's access tokens are made and read."""
    return runtime_of(connection).tokens


TokenPolicyDep = Annotated[TokenPolicy, Depends(get_token_policy)]


async def get_principal(
    connection: HTTPConnection,
    token: Annotated[str, Depends(BearerScheme())],
    tokens: TokenPolicyDep,
    database: DatabaseDep,
) -> Principal:
    """Find the token's owner, in a transaction that is over before the handler begins.

    Raises:
        UnauthorizedError: there is no bearer token (401).
        InvalidTokenError: it does not hold, or its owner is gone or not active (401).
    """
    subject = read_access_token(tokens, token)
    find = runtime_of(connection).principal
    if find is None:
        raise ConfigurationError(_NO_PRINCIPAL.format(asker="this route"))
    async with database.read_session() as session:
        row = (await (await session.connection()).execute(find(subject))).one_or_none()
    if row is None or not row[2]:
        raise InvalidTokenError
    return Principal(id=row[0], role=str(row[1]))


PrincipalDep = Annotated[Principal, Depends(get_principal)]
"""Who calls. It answers 401 where nobody does; `install(app, principal=…)` says where they are."""


def require_role(*roles: str) -> Callable[[Principal], Principal]:
    """Make a dependency that lets only these roles through.

    As a parameter it gives the caller: `Annotated[Principal, Depends(require_role("admin"))]`;
    among a router's `dependencies` it guards all of its routes.

    Args:
        roles: any of them will do.
    """
    allowed = frozenset(map(str, roles))

    async def get_caller(principal: PrincipalDep) -> Principal:
        if principal.role not in allowed:
            raise ForbiddenError
        return principal

    return get_caller  # type: ignore[return-value]  # FastAPI awaits it; callers only depend on it


def check_principal(app: FastAPI) -> None:
    """Refuse to start an app that asks who calls, but was not told where they are.

    Raises:
        ConfigurationError: with the line to add.
    """
    runtime: Runtime = app.state.neonkit
    if runtime.principal is not None or get_principal in app.dependency_overrides:
        return
    for context in iter_route_contexts(app.routes):
        if _uses(getattr(context, "dependant", None), get_principal):
            methods = "/".join(sorted(context.methods or ["WEBSOCKET"]))
            raise ConfigurationError(_NO_PRINCIPAL.format(asker=f"{methods} {context.path}"))


def told_first(scope: Scope, error: Exception) -> Exception:
    """Put what the token alone shows before a fault of the input: strangers learn nothing of it."""
    if not isinstance(error, _FAULTS_OF_INPUT):
        return error
    for context in iter_route_contexts(scope["app"].routes):
        if context.matches(scope)[0] is Match.FULL:
            if _uses(getattr(context, "dependant", None), BearerScheme):
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
        if _SCHEME in schemes and path is not None:
            flow = {"tokenUrl": path.removeprefix("/"), "scopes": {}}
            schemes[_SCHEME] = {"type": "oauth2", "flows": {"password": flow}}
        return schema

    app.openapi = openapi  # type: ignore[method-assign]  # FastAPI's own way to extend the schema


def _password_form_path(app: FastAPI) -> str | None:
    for context in iter_route_contexts(app.routes):
        dependant = getattr(context, "dependant", None)
        if any(
            _uses(dependant, form)
            for form in (OAuth2PasswordRequestForm, OAuth2PasswordRequestFormStrict)
        ):
            return context.path
    return None


def _uses(dependant: Dependant | None, call: Callable[..., Any]) -> bool:
    """Whether a dependency, or an instance of it, is anywhere among a route's."""
    if dependant is None:
        return False
    is_it = dependant.call is call or type(dependant.call) is call
    return is_it or any(_uses(inner, call) for inner in dependant.dependencies)
