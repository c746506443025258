"""The users' part of the API."""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any

from fastapi import APIRouter
from sqlalchemy import Row, delete, insert, update
from sqlmodel import col

from neonkit import (
    CallerDep,
    CreatedDep,
    DatabaseDep,
    IfMatchDep,
    OptionalIdempotencyKey,
    Page,
    PageDep,
    ReadSessionDep,
    TaggedDep,
    existing,
    paginate,
)
from neonkit.auth import hash_password, log_security_event
from neonkit.errors import (
    DuplicateError,
    ForbiddenError,
    HasDependentsError,
    NotFoundError,
    RateLimitedError,
)
from neonkit.web import raises
from neonkit_starter.parameters import Id
from neonkit_starter.users.errors import WeakPasswordError
from neonkit_starter.users.models import Role, User
from neonkit_starter.users.queries import ETAG, SHOWN, USER, USERS
from neonkit_starter.users.rules import refuse_strangers, refuse_weak
from neonkit_starter.users.schemas import UserCreate, UserPatch, UserPatchByAdmin, UserRead
from neonkit_starter.users.throttling import NameWrites, NameWritesDep, OnlyNameWritesDep

router = APIRouter(prefix="/users", tags=["users"])

_RIGHTS = UserPatchByAdmin.model_fields.keys() - UserPatch.model_fields.keys()


@router.post(
    "", status_code=201, openapi_extra=raises(DuplicateError, RateLimitedError, WeakPasswordError)
)
async def create_user(
    body: UserCreate,
    count: OnlyNameWritesDep,
    db: DatabaseDep,
    key: OptionalIdempotencyKey,
    created: CreatedDep,
) -> UserRead:
    """Register; the address and the name must be free."""
    refuse_weak(body.password, username=body.username, email=body.email)
    ride = count()
    hashed = await hash_password(body.password)
    new = insert(User).values(username=body.username, email=body.email, hashed_password=hashed)
    done = await db.execute(ride.on(new.returning(*SHOWN, ETAG)), key, conditions=ride.conditions)
    ride.arrived()
    return created(done.one())


@router.get("", openapi_extra=raises(ForbiddenError))
async def list_users(
    me: CallerDep,
    session: ReadSessionDep,
    page: PageDep,
    role: Role | None = None,
    is_active: bool | None = None,
) -> Page[UserRead]:
    """List users, by id unless `sort` says otherwise; `q` looks in names and addresses."""
    me.require(Role.MODERATOR, Role.ADMIN)
    users = USERS if role is None else USERS.where(col(User.role) == role)
    users = users if is_active is None else users.where(col(User.is_active) == is_active)
    return await paginate(
        session,
        users,
        page,
        sort=[col(User.id), col(User.username), col(User.created_at)],
        search=[col(User.username), col(User.email)],
    )


@router.get("/me")
async def read_me(me: CallerDep, db: DatabaseDep, tagged: TaggedDep) -> UserRead:
    """Read your own account."""
    return tagged(existing(await db.execute(USER.where(col(User.id) == me.id))))


@router.patch("/me", openapi_extra=raises(DuplicateError, RateLimitedError))
async def update_me(
    body: UserPatch,
    count: OnlyNameWritesDep,
    me: CallerDep,
    db: DatabaseDep,
    if_match: IfMatchDep,
) -> UserRead:
    """Change your own name or address."""
    change = await _change(me.id, body.changes(), count, partial(if_match.write, db))
    return if_match.tagged(change)


@router.delete("/me", status_code=204, openapi_extra=raises(HasDependentsError))
async def delete_me(me: CallerDep, db: DatabaseDep, if_match: IfMatchDep) -> None:
    """Delete your own account; your posts go first."""
    drop = delete(User).where(col(User.id) == me.id).returning(col(User.id))
    await if_match.write(db, drop)


@router.patch(
    "/{user_id}",
    openapi_extra=raises(DuplicateError, ForbiddenError, NotFoundError, RateLimitedError),
)
async def update_user(
    user_id: Id,
    body: UserPatchByAdmin,
    count: NameWritesDep,
    me: CallerDep,
    db: DatabaseDep,
    if_match: IfMatchDep,
) -> UserRead:
    """Change an account; its role and whether it is active, only as an administrator."""
    refuse_strangers(me, user_id)
    changes = body.changes()
    rights = {name: str(changes[name]) for name in _RIGHTS & changes.keys()}
    if rights:
        me.require(Role.ADMIN)
    user = await _change(user_id, changes, count, partial(if_match.write, db))
    if rights:
        log_security_event("role-changed", subject=str(user_id), by=str(me.id), **rights)
    return if_match.tagged(user)


@router.delete(
    "/{user_id}", status_code=204, openapi_extra=raises(HasDependentsError, NotFoundError)
)
async def delete_user(user_id: Id, me: CallerDep, db: DatabaseDep, if_match: IfMatchDep) -> None:
    """Delete an account that owns nothing any more."""
    refuse_strangers(me, user_id)
    drop = delete(User).where(col(User.id) == user_id).returning(col(User.id))
    await if_match.write(db, drop)


Write = Callable[..., Awaitable[Row[*tuple[Any, ...]]]]


async def _change(
    user_id: int, changes: dict[str, Any], count: NameWrites, write: Write
) -> Row[*tuple[Any, ...]]:
    """Change a user; a write of a name or an address counts, since it tells who is there."""
    this = col(User.id) == user_id
    if not changes:
        return await write(USER.where(this))
    change = update(User).where(this).values(changes).returning(*SHOWN, ETAG)
    if not changes.keys() & UserPatch.model_fields.keys():
        return await write(change)
    ride = count()
    changed = await write(ride.on(change), ride.conditions)
    ride.arrived()
    return changed
