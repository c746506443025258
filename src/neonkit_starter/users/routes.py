"""The users' part of the API."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Request, Response
from sqlalchemy import delete
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import (
    DatabaseDep,
    OptionalIdempotencyKey,
    Page,
    PageDep,
    PrincipalDep,
    ReadSessionDep,
    SessionDep,
    paginate,
    require_role,
)
from neonkit.auth import hash_password
from neonkit.errors import (
    DuplicateError,
    FieldProblem,
    ForbiddenError,
    HasDependentsError,
    NotFoundError,
)
from neonkit.web import Principal, raises
from neonkit_starter.posts import queries as post_queries
from neonkit_starter.posts.schemas import PostRead
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
Staff = Annotated[Principal, Depends(require_role(Role.MODERATOR, Role.ADMIN))]


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
) -> UserRead:
    """Register; the address and the name must be free."""
    weakness = weakness_of(body.password, username=body.username, email=body.email)
    if weakness is not None:
        fault = FieldProblem("/body/password", "weak-password", weakness)
        raise WeakPasswordError(errors=[fault])
    hashed = await hash_password(body.password)

    async def write(session: AsyncSession) -> UserRead:
        user = User(username=body.username, email=body.email, hashed_password=hashed)
        session.add(user)
        await session.flush()
        return UserRead.model_validate(user)

    user = await database.run_transaction(write, key=key)
    response.headers["Location"] = f"{request.url.path}/{user.id}"
    return user


@router.get("", response_model=Page[UserRead], openapi_extra=raises(ForbiddenError))
async def list_users(
    _: Staff,
    session: ReadSessionDep,
    page: PageDep,
    role: Role | None = None,
    is_active: bool | None = None,
) -> Page[User]:
    """List users, by id unless `sort` says otherwise; `q` looks in names and addresses."""
    return await paginate(
        session,
        queries.users(role=role, is_active=is_active),
        page,
        sort=[col(User.id), col(User.username), col(User.created_at)],
        search=[col(User.username), col(User.email)],
    )


@router.get("/me", response_model=UserRead)
async def read_me(caller: PrincipalDep, session: ReadSessionDep) -> User:
    """Read your own account."""
    return await _existing(session, caller.id)


@router.patch("/me", response_model=UserRead, openapi_extra=raises(DuplicateError))
async def update_me(body: UserPatch, caller: PrincipalDep, session: SessionDep) -> User:
    """Change your own name or address."""
    return await _update(session, caller.id, body)


@router.delete("/me", status_code=204, openapi_extra=raises(HasDependentsError))
async def delete_me(caller: PrincipalDep, session: SessionDep) -> None:
    """Delete your own account; your posts go first."""
    await _delete(session, caller.id)


@router.get(
    "/{user_id}",
    response_model=UserReadWithPosts | UserRead,
    openapi_extra=raises(NotFoundError),
)
async def read_user(
    user_id: UserId,
    caller: PrincipalDep,
    session: ReadSessionDep,
    include: Literal["posts"] | None = None,
) -> UserRead:
    """Read an account; `include=posts` adds its newest 100 posts."""
    _refuse_strangers(caller, user_id)
    user = UserRead.model_validate(await _existing(session, user_id))
    if include is None:
        return user
    posts = (await session.exec(post_queries.newest_posts_of(user_id))).all()
    return UserReadWithPosts(
        **user.model_dump(), posts=[PostRead.model_validate(post) for post in posts]
    )


@router.patch(
    "/{user_id}",
    response_model=UserRead,
    openapi_extra=raises(DuplicateError, ForbiddenError, NotFoundError),
)
async def update_user(
    user_id: UserId, body: UserPatchByAdmin, caller: PrincipalDep, session: SessionDep
) -> User:
    """Change an account; its role and whether it is active, only as an administrator."""
    _refuse_strangers(caller, user_id)
    if caller.role != Role.ADMIN and not body.changes().keys() <= UserPatch.model_fields.keys():
        raise ForbiddenError
    return await _update(session, user_id, body)


@router.delete(
    "/{user_id}",
    status_code=204,
    openapi_extra=raises(HasDependentsError, NotFoundError),
)
async def delete_user(user_id: UserId, caller: PrincipalDep, session: SessionDep) -> None:
    """Delete an account that owns nothing any more."""
    _refuse_strangers(caller, user_id)
    await _delete(session, user_id)


def _refuse_strangers(caller: Principal, user_id: int) -> None:
    """Hide other people's accounts: to a stranger, one that exists looks like one that does not."""
    if caller.id != user_id and caller.role != Role.ADMIN:
        raise NotFoundError


async def _existing(session: AsyncSession, user_id: int) -> User:
    user = (await session.exec(queries.user_by_id(user_id))).one_or_none()
    if user is None:
        raise NotFoundError
    return user


async def _update(session: AsyncSession, user_id: int, body: UserPatch) -> User:
    user = (await session.exec(queries.locked(queries.user_by_id(user_id)))).one_or_none()
    if user is None:
        raise NotFoundError
    body.apply_to(user)
    await session.commit()
    return user


async def _delete(session: AsyncSession, user_id: int) -> None:
    deleted = await session.exec(delete(User).where(col(User.id) == user_id))
    if deleted.rowcount == 0:
        raise NotFoundError
    await session.commit()
