"""The users' part of the API."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Path, Request, Response
from sqlalchemy import Row, select
from sqlmodel import col

from neonkit import (
    CallerDep,
    Database,
    DatabaseDep,
    OptionalIdempotencyKey,
    Page,
    PageDep,
    paginate,
)
from neonkit.auth import hash_password
from neonkit.errors import (
    DuplicateError,
    FieldProblem,
    ForbiddenError,
    HasDependentsError,
    NotFoundError,
)
from neonkit.web import ActingPrincipal, Principal, raises
from neonkit_starter.posts import queries as posts
from neonkit_starter.rows import existing
from neonkit_starter.users import queries
from neonkit_starter.users.errors import WeakPasswordError
from neonkit_starter.users.models import Role, User
from neonkit_starter.users.rules import weakness_of
from neonkit_starter.users.schemas import (
    UserCreate,
    UserPatch,
    UserPatchByAdmin,
    UserRead,
    UserReadWithPosts,
)

router = APIRouter(prefix="/users", tags=["users"])

UserId = Annotated[int, Path(ge=1, le=2**31 - 1)]
UserRow = Row[*tuple[Any, ...]]

_USER = [str(column.key) for column in select(*queries.SHOWN).selected_columns]
_POST = [str(column.key) for column in select(*posts.SHOWN).selected_columns]


@router.post(
    "",
    response_model=UserRead,
    status_code=201,
    openapi_extra=raises(DuplicateError, WeakPasswordError),
)
async def create_user(
    body: UserCreate,
    database: DatabaseDep,
    key: OptionalIdempotencyKey,
    request: Request,
    response: Response,
) -> UserRow:
    """Register; the address and the name must be free."""
    weakness = weakness_of(body.password, username=body.username, email=body.email)
    if weakness is not None:
        fault = FieldProblem("/body/password", "weak-password", weakness)
        raise WeakPasswordError(errors=[fault])
    hashed = await hash_password(body.password)
    statement = queries.create_user(
        username=body.username, email=body.email, hashed_password=hashed
    )
    user = (await database.execute(statement, key=key)).one()
    response.headers["Location"] = f"{request.scope['path']}/{user.id}"
    return user


@router.get("", response_model=Page[UserRead], openapi_extra=raises(ForbiddenError))
async def list_users(
    caller: CallerDep,
    database: DatabaseDep,
    page: PageDep,
    role: Role | None = None,
    is_active: bool | None = None,
) -> Page[UserRow]:
    """List users, by id unless `sort` says otherwise; `q` looks in names and addresses."""

    async def read(who: ActingPrincipal) -> Page[UserRow]:
        who.require(Role.MODERATOR, Role.ADMIN)
        async with database.read_session() as session:
            return await paginate(
                session,
                queries.users(role=role, is_active=is_active),
                page,
                sort=[col(User.id), col(User.username), col(User.created_at)],
                search=[col(User.username), col(User.email)],
                condition=who.holds,
            )

    return await caller.act(read)


@router.get("/me", response_model=UserRead)
async def read_me(caller: CallerDep, database: DatabaseDep) -> UserRow:
    """Read your own account."""
    return await caller.act(lambda who: _read(database, who, who.id))


@router.patch("/me", response_model=UserRead, openapi_extra=raises(DuplicateError))
async def update_me(body: UserPatch, caller: CallerDep, database: DatabaseDep) -> UserRow:
    """Change your own name or address."""
    return await caller.act(lambda who: _update(database, who, who.id, body))


@router.delete("/me", status_code=204, openapi_extra=raises(HasDependentsError))
async def delete_me(caller: CallerDep, database: DatabaseDep) -> None:
    """Delete your own account; your posts go first."""
    await caller.act(lambda who: _delete(database, who, who.id))


@router.get(
    "/{user_id}",
    response_model=UserReadWithPosts | UserRead,
    openapi_extra=raises(NotFoundError),
)
async def read_user(
    user_id: UserId,
    caller: CallerDep,
    database: DatabaseDep,
    include: Literal["posts"] | None = None,
) -> UserRow | dict[str, Any]:
    """Read an account; `include=posts` adds its newest 100 posts."""
    if include is None:
        return await caller.act(lambda who: _read(database, who, user_id))
    return await caller.act(lambda who: _read_with_posts(database, who, user_id))


@router.patch(
    "/{user_id}",
    response_model=UserRead,
    openapi_extra=raises(DuplicateError, ForbiddenError, NotFoundError),
)
async def update_user(
    user_id: UserId, body: UserPatchByAdmin, caller: CallerDep, database: DatabaseDep
) -> UserRow:
    """Change an account; its role and whether it is active, only as an administrator."""

    async def change(who: ActingPrincipal) -> UserRow:
        _refuse_strangers(who, user_id)
        if not body.changes().keys() <= UserPatch.model_fields.keys():
            who.require(Role.ADMIN)
        return await _update(database, who, user_id, body)

    return await caller.act(change)


@router.delete(
    "/{user_id}",
    status_code=204,
    openapi_extra=raises(HasDependentsError, NotFoundError),
)
async def delete_user(user_id: UserId, caller: CallerDep, database: DatabaseDep) -> None:
    """Delete an account that owns nothing any more."""
    await caller.act(lambda who: _delete(database, who, user_id))


def _refuse_strangers(who: Principal, user_id: int) -> None:
    """Hide other people's accounts: to a stranger, one that exists looks like one that does not."""
    if who.id != user_id and who.role != Role.ADMIN:
        raise NotFoundError


async def _read(database: Database, who: ActingPrincipal, user_id: int) -> UserRow:
    _refuse_strangers(who, user_id)
    values = {"user_id": user_id}
    found = await database.execute(queries.USER_BY_ID, parameters=values, condition=who.holds)
    return existing(found)


async def _read_with_posts(
    database: Database, who: ActingPrincipal, user_id: int
) -> dict[str, Any]:
    _refuse_strangers(who, user_id)
    values = {"user_id": user_id}
    found = await database.execute(queries.USER_WITH_POSTS, parameters=values, condition=who.holds)
    rows = found.all()
    if not rows:
        raise NotFoundError
    user = dict(zip(_USER, rows[0], strict=False))
    newest = [dict(zip(_POST, row[len(user) :], strict=True)) for row in rows]
    return {**user, "posts": [post for post in newest if post["id"] is not None]}


async def _update(
    database: Database, who: ActingPrincipal, user_id: int, body: UserPatch
) -> UserRow:
    changes = body.changes()
    if not changes:
        return await _read(database, who, user_id)
    statement = queries.change_user(user_id, changes)
    return existing(await database.execute(statement, condition=who.holds))


async def _delete(database: Database, who: ActingPrincipal, user_id: int) -> None:
    _refuse_strangers(who, user_id)
    existing(await database.execute(queries.delete_user(user_id), condition=who.holds))
