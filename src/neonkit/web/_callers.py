"""Callers: who they are is checked inside of the statements that they cause."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar

from fastapi import Depends
from sqlalchemy import ColumnElement, Enum, Select, bindparam
from sqlalchemy.types import TypeEngine
from starlette.requests import HTTPConnection

from neonkit.auth import AccessToken, Principal, TokenPolicy, read_access_token
from neonkit.db import Bound, Condition, Database, bind, build_once
from neonkit.errors import (
    ConditionFailedError,
    ConfigurationError,
    InvalidTokenError,
    ProblemError,
)
from neonkit.web._bearer_token import BearerScheme, bearer_token
from neonkit.web._runtime import FindPrincipal, Runtime
from neonkit.web._session_dependencies import DatabaseDep

Answer = TypeVar("Answer")

_ID, _ROLE = "neonkit_caller", "neonkit_caller_role"
_MOST_ROUNDS = 3
_NO_PRINCIPAL = (
    "{asker} asks who calls, but nobody said where users are kept: add to the install "
    "call `neonkit.install(app, principal=find_user)`, a function from a token's subject to "
    "`select(User.id, User.role, User.is_active).where(…)`"
)
_NEVER_EQUAL = (
    "the caller's id and role were read, and then did not compare equal to the columns that they "
    "were read from: let the function given as `principal` select an integer and a text or enum"
)


@dataclass(frozen=True)
class ActingPrincipal(Principal):
    """Who calls, as far as their token tells, and what makes it certain.

    Attributes:
        holds: whether the database knows them so and active: for a statement's WHERE, or the
            `condition` of `Database.execute` and `paginate`.
    """

    holds: Condition = field(repr=False, compare=False)


class Caller:
    """The owner of a request's token, whom nobody has looked up yet.

    Args:
        token: what their token says.
        find: selects id, role and whether they are active, by the token's subject.
        database: where they are kept.
    """

    def __init__(self, token: AccessToken, find: FindPrincipal, database: Database) -> None:
        self._token = token
        self._find = find
        self._database = database

    async def look(self) -> Principal:
        """Read who calls, in a round trip of its own.

        Raises:
            InvalidTokenError: the token's owner is gone or not active (401).
        """
        async with self._database.read_session() as session:
            connection = await session.connection()
            row = (await connection.execute(self._find(self._token.subject))).one_or_none()
        if row is None or not row[2]:
            raise InvalidTokenError
        return Principal(id=row[0], role=str(row[1]))

    async def act(self, work: Callable[[ActingPrincipal], Awaitable[Answer]]) -> Answer:
        """Do something as the caller, without a look at them before.

        The function gets who the token says that they are, and every statement that it sends
        carries `who.holds`. Where that does not hold any more, or where it raises an error of ours,
        the caller is looked up; if they are another than was thought, it is called again.

        Args:
            work: must do nothing but one such statement that cannot be repeated.

        Raises:
            InvalidTokenError: the token's owner is gone or not active (401).
        """
        who = self._token.principal or await self.look()
        for _ in range(_MOST_ROUNDS):
            try:
                return await work(self._acting(who))
            except ConditionFailedError:
                who = await self.look()
            except ProblemError:
                thought, who = who, await self.look()
                if who == thought:
                    raise
        raise ConfigurationError(_NEVER_EQUAL)

    def _acting(self, who: Principal) -> ActingPrincipal:
        known = bind(self._find(self._token.subject))
        same, kind = build_once(_same, known)
        values = {**known.values, _ID: who.id, _ROLE: _as_kept(who.role, kind)}
        holds = Condition(Bound((same,), values, is_lasting=known.is_lasting))
        return ActingPrincipal(who.id, who.role, holds)


def _same(known: Select[*tuple[Any, ...]]) -> tuple[ColumnElement[bool], TypeEngine[Any]]:
    """Whether the database knows somebody of an id and a role as active; and a role's type."""
    identity, role, is_active = known.selected_columns
    same = known.where(
        identity == bindparam(_ID, type_=identity.type),
        role == bindparam(_ROLE, type_=role.type),
        is_active,
    )
    # of itself, whatever statement it stands in: that may read the same table
    return same.correlate(None).exists(), role.type


def _as_kept(role: str, kind: TypeEngine[Any]) -> object:
    """A role as its column has it: an enum's member by what it prints."""
    if isinstance(kind, Enum) and kind.enum_class is not None:
        return next((member for member in kind.enum_class if str(member) == role), role)
    return role


async def get_token_policy(connection: HTTPConnection) -> TokenPolicy:
    """How this app's access tokens are made and read."""
    return Runtime.of(connection).tokens


TokenPolicyDep = Annotated[TokenPolicy, Depends(get_token_policy)]


class _CallerScheme(BearerScheme):
    """Scheme and dependency in one: FastAPI takes as long for each dependency as for reading it."""

    async def __call__(self, connection: HTTPConnection, database: DatabaseDep) -> Caller:
        """Read the token; nothing is sent.

        Raises:
            UnauthorizedError: there is no bearer token (401).
            InvalidTokenError: it does not hold (401).
        """
        runtime = Runtime.of(connection)
        read = read_access_token(runtime.tokens, bearer_token(connection))
        if runtime.principal is None:
            raise no_principal("this route")
        return Caller(read, runtime.principal, database)


get_caller = _CallerScheme()

CallerDep = Annotated[Caller, Depends(get_caller)]
"""Who calls, to be checked by the statement that the route sends; 401 where nobody does."""


async def get_principal(caller: CallerDep) -> Principal:
    """Find the token's owner, in a transaction that is over before the handler begins.

    Raises:
        InvalidTokenError: the token's owner is gone or not active (401).
    """
    return await caller.look()


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


def no_principal(asker: str) -> ConfigurationError:
    """What is wrong with an app that asks who calls, but was not told where they are."""
    return ConfigurationError(_NO_PRINCIPAL.format(asker=asker))
