"""The users' part of the API."""

from fastapi import APIRouter
from sqlalchemy import delete, insert, update
from sqlmodel import col

from neonkit import (
    CallerDep,
    CreatedDep,
    DatabaseDep,
    OptionalIdempotencyKey,
    Page,
    PageDep,
    ReadSessionDep,
    existing,
    paginate,
)
from neonkit.auth import hash_password, log_security_event
from neonkit.errors import (
    DuplicateError,
    ForbiddenError,
    HasDependentsError,
    NotFoundError,
)
from neonkit.web import raises
from neonkit_starter.parameters import Id
from neonkit_starter.users.errors import WeakPasswordError
from neonkit_starter.users.models import Role, User
from neonkit_starter.users.queries import SHOWN, USERS
from neonkit_starter.users.rules import refuse_strangers, refuse_weak
from neonkit_starter.users.schemas import UserCreate, UserPatch, UserPatchByAdmin, UserRead

router = APIRouter(prefix="/users", tags=["users"])

_RIGHTS = UserPatchByAdmin.model_fields.keys() - UserPatch.model_fields.keys()


@router.post("", status_code=201, openapi_extra=raises(DuplicateError, WeakPasswordError))
async def create_user(
    body: UserCreate, db: DatabaseDep, key: OptionalIdempotencyKey, created: CreatedDep
) -> UserRead:
    """Register; the address and the name must be free."""
    refuse_weak(body.password, username=body.username, email=body.email)
    hashed = await hash_password(body.password)
    new = insert(User).values(username=body.username, email=body.email, hashed_password=hashed)
    return created((await db.execute(new.returning(*SHOWN), key)).one())


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
async def read_me(me: CallerDep, db: DatabaseDep) -> UserRead:
    """Read your own account."""
    return existing(await db.execute(USERS.where(col(User.id) == me.id)))


@router.patch("/me", openapi_extra=raises(DuplicateError))
async def update_me(body: UserPatch, me: CallerDep, db: DatabaseDep) -> UserRead:
    """Change your own name or address."""
    this, changes = col(User.id) == me.id, body.changes()
    change = update(User).where(this).values(changes).returning(*SHOWN)
    return existing(await db.execute(change if changes else USERS.where(this)))


@router.delete("/me", status_code=204, openapi_extra=raises(HasDependentsError))
async def delete_me(me: CallerDep, db: DatabaseDep) -> None:
    """Delete your own account; your posts go first."""
    drop = delete(User).where(col(User.id) == me.id).returning(col(User.id))
    existing(await db.execute(drop))


@router.patch("/{user_id}", openapi_extra=raises(DuplicateError, ForbiddenError, NotFoundError))
async def update_user(
    user_id: Id, body: UserPatchByAdmin, me: CallerDep, db: DatabaseDep
) -> UserRead:
    """Change an account; its role and whether it is active, only as an administrator."""
    refuse_strangers(me, user_id)
    this, changes = col(User.id) == user_id, body.changes()
    rights = {name: str(changes[name]) for name in _RIGHTS & changes.keys()}
    if rights:
        me.require(Role.ADMIN)
    change = update(User).where(this).values(changes).returning(*SHOWN)
    user: UserRead = existing(await db.execute(change if changes else USERS.where(this)))
    if rights:
        log_security_event("role-changed", subject=str(user_id), by=str(me.id), **rights)
    return user


@router.delete(
    "/{user_id}", status_code=204, openapi_extra=raises(HasDependentsError, NotFoundError)
)
async def delete_user(user_id: Id, me: CallerDep, db: DatabaseDep) -> None:
    """Delete an account that owns nothing any more."""
    refuse_strangers(me, user_id)
    drop = delete(User).where(col(User.id) == user_id).returning(col(User.id))
    existing(await db.execute(drop))
