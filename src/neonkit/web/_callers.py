"""Callers: who they are is checked inside of the statements that they cause."""

import time
from collections.abc import Callable
from enum import Enum as AnyEnum
from functools import partial
from types import TracebackType
from typing import Annotated, Any

from fastapi import Depends
from sqlalchemy import ColumnElement, Enum, Select, and_, bindparam
from sqlalchemy.types import TypeEngine
from starlette.exceptions import HTTPException
from starlette.requests import HTTPConnection

from neonkit._seams.fastapi import function_stack_of
from neonkit.auth import (
    AccessToken,
    FindPrincipal,
    Principal,
    SignIns,
    TokenPolicy,
    alive_values,
    is_alive,
)
from neonkit.db import Bound, Database, Guard, bind, build_once, guard_scope
from neonkit.errors import (
    ConfigurationError,
    ForbiddenError,
    InvalidTokenError,
    NotFoundError,
)
from neonkit.web._bearer_token import BearerScheme, bearer_token
from neonkit.web._entity_tags import NotModifiedError
from neonkit.web._runtime import Runtime
from neonkit.web._session_dependencies import DatabaseDep

_ID, _ROLE = "neonkit_caller", "neonkit_caller_role"
_REFUSALS = (ForbiddenError, NotFoundError)
_REFUSING_STATUSES = {403, 404}
_NO_PRINCIPAL = (
    "{asker} asks who calls, but nobody said where users are kept: add to the install "
    "call `neonkit.install(app, principal=find_user)`, a function from a token's subject to "
    "`select(User.id, User.role, User.is_active).where(…)`"
)


async def get_token_policy(connection: HTTPConnection) -> TokenPolicy:
    """How this app's access tokens are made and read."""
    return Runtime.of(connection).tokens


TokenPolicyDep = Annotated[TokenPolicy, Depends(get_token_policy)]


async def get_sign_ins(connection: HTTPConnection, database: DatabaseDep) -> SignIns:
    """The sign-ins of this app's users: begun, renewed and ended."""
    runtime = Runtime.of(connection)
    if runtime.principal is None:
        raise no_principal("this route")
    return SignIns(database, runtime.tokens, runtime.principal)


SignInsDep = Annotated[SignIns, Depends(get_sign_ins)]


class _CallerScheme(BearerScheme):
    """Scheme and dependency in one: a further dependency costs as much as parsing the token."""

    async def __call__(self, connection: HTTPConnection, database: DatabaseDep) -> Principal:
        """Read the token, and let the scope's statements check what it says.

        Raises:
            UnauthorizedError: there is no bearer token (401).
            InvalidTokenError: it does not hold, or its owner is gone or not active (401).
        """
        token, find = await _read(connection)
        who = token.principal or await _look(database, find, token)
        guard = _guard(find, token, who)
        if connection.scope["type"] == "websocket":
            # it stays open for as long as both like: checked now, and with each statement
            guard.renews, guard.refuse_late = True, partial(_refuse_expired, token)
            await database.judge(guard)
        else:
            await _judge_in_time(connection, database, guard)
        guard_scope(guard)
        return who


get_caller = _CallerScheme()

CallerDep = Annotated[Principal, Depends(get_caller)]
"""Who calls, by the token; the statements that the route sends check it: 401 where it is wrong."""


class _PrincipalScheme(BearerScheme):
    """The same for who wants to know the caller before anything else is done."""

    async def __call__(self, connection: HTTPConnection, database: DatabaseDep) -> Principal:
        """Find the token's owner, in a transaction that is over before the handler begins.

        Raises:
            UnauthorizedError: there is no bearer token (401).
            InvalidTokenError: it does not hold, or its owner is gone or not active (401).
        """
        token, find = await _read(connection)
        return await _look(database, find, token)


get_principal = _PrincipalScheme()

PrincipalDep = Annotated[Principal, Depends(get_principal)]
"""Who calls, read in a round trip of its own; `install(app, principal=…)` says where they are."""


def require_role(*roles: str) -> Callable[[Principal], Principal]:
    """Make a dependency that lets only these roles through.

    As a parameter it gives the caller: `Annotated[Principal, Depends(require_role("admin"))]`;
    among a router's `dependencies` it guards all of its routes.

    Args:
        roles: any of them will do.
    """

    async def get_one_of(principal: PrincipalDep) -> Principal:
        principal.require(*roles)
        return principal

    return get_one_of  # type: ignore[return-value]  # FastAPI awaits it; callers only depend on it


ASKING = frozenset({get_caller, get_principal})
"""The dependencies that ask who calls."""


def no_principal(asker: str) -> ConfigurationError:
    """The error of an app that asks who calls, but was not told where they are."""
    return ConfigurationError(_NO_PRINCIPAL.format(asker=asker))


async def _read(connection: HTTPConnection) -> tuple[AccessToken, FindPrincipal]:
    runtime = Runtime.of(connection)
    token = await runtime.read_token(bearer_token(connection))
    if runtime.principal is None:
        raise no_principal("this route")
    return token, runtime.principal


async def _look(database: Database, find: FindPrincipal, token: AccessToken) -> Principal:
    """Read who calls, in a round trip of its own."""
    found = find(token.subject)
    if token.sign_in is not None:
        found = found.where(is_alive()).params(alive_values(token.subject, token.sign_in))
    async with database.read_session() as session:
        connection = await session.connection()
        row = (await connection.execute(found)).one_or_none()
    if row is None or not row[2]:
        raise InvalidTokenError
    return Principal(id=row[0], role=_text_of(row[1]), sign_in=token.sign_in)


def _guard(find: FindPrincipal, token: AccessToken, who: Principal) -> Guard:
    """The condition that the database says of the caller as their token does, and active.

    And their sign-in has not ended.
    """
    known = bind(find(token.subject))
    same, kind = build_once(_same, known, token.sign_in is not None)
    values = {**known.values, _ID: who.id, _ROLE: _as_kept(who.role, kind)}
    if token.sign_in is not None:
        values |= alive_values(token.subject, token.sign_in)
    bound = Bound((same,), values, is_lasting=known.is_lasting)
    return Guard(bound, failure=InvalidTokenError)


def _same(
    has_sign_in: bool,  # given by place, as whatever tells templates apart
    known: Select[*tuple[Any, ...]],
) -> tuple[ColumnElement[bool], TypeEngine[Any]]:
    """True if the database knows somebody of an id and a role as active; and a role's type."""
    identity, role, is_active = known.selected_columns
    same = known.where(
        identity == bindparam(_ID, type_=identity.type),
        role == bindparam(_ROLE, type_=role.type),
        is_active,
    )
    # of itself, whatever statement it stands in: that may read the same table
    is_same: ColumnElement[bool] = same.correlate(None).exists()
    return and_(is_same, is_alive()) if has_sign_in else is_same, role.type


def _as_kept(role: str, kind: TypeEngine[Any]) -> object:
    """A role as its column has it: an enum's member by its text."""
    if isinstance(kind, Enum) and kind.enum_class is not None:
        return next((member for member in kind.enum_class if _text_of(member) == role), role)
    return role


def _text_of(role: object) -> str:
    return str(role.value if isinstance(role, AnyEnum) else role)


async def _judge_in_time(connection: HTTPConnection, database: Database, guard: Guard) -> None:
    """Have the caller checked before the answer leaves, whatever the route does or leaves out."""
    stack = function_stack_of(connection.scope)
    if stack is None:  # nothing tells when the handler ends
        await database.judge(guard)
    else:
        stack.push_async_exit(partial(_judge_at_end, database, guard))


def _refuse_expired(token: AccessToken) -> None:
    if token.expires_at <= time.time():
        raise InvalidTokenError


async def _judge_at_end(
    database: Database,
    guard: Guard,
    _kind: type[BaseException] | None,
    error: BaseException | None,
    _traceback: TracebackType | None,
) -> None:
    """Check the caller before the answer leaves, where no statement of the route has done so.

    A refusal of the handler's own comes after the check, as one that a statement decides would;
    after any other error nothing is asked.
    """
    is_answer = error is None or isinstance(error, NotModifiedError)
    if guard.has_held or not (is_answer or _is_refusal(error)):
        return
    try:
        await database.judge(guard)
    except InvalidTokenError:
        raise
    except Exception:
        if is_answer:
            raise


def _is_refusal(error: BaseException | None) -> bool:
    is_http = isinstance(error, HTTPException) and error.status_code in _REFUSING_STATUSES
    return is_http or isinstance(error, _REFUSALS)
