"""Parameters of routes have the types of what they give."""

from enum import StrEnum
from typing import Annotated, Any, assert_type

from fastapi import APIRouter, Depends, FastAPI
from sqlalchemy import Select
from sqlmodel import Field, col, select

from neonkit import (
    Database,
    DatabaseDep,
    IdempotencyKey,
    OptionalIdempotencyKey,
    PatchModel,
    PrincipalDep,
    TableModel,
    TimestampMixin,
    UtcDateTime,
    VersionMixin,
    add_problem,
    errors,
    get_database,
    get_session,
    install,
    require_role,
)
from neonkit.auth import Principal
from neonkit.db import Key
from typing_tests.evening import NoteRead


class Role(StrEnum):
    """What somebody may."""

    READER = "reader"
    ADMIN = "admin"


class User(TimestampMixin, VersionMixin, TableModel, table=True):
    """Somebody who signs in."""

    id: int | None = Field(default=None, primary_key=True)
    role: Role = Role.READER
    is_active: bool = True
    seen_at: UtcDateTime


class UserPatch(PatchModel):
    """What an administrator changes."""

    role: Role


def find_user(subject: str) -> Select[*tuple[Any, ...]]:
    """Where users are kept."""
    return select(User.id, User.role, User.is_active).where(col(User.id) == int(subject))


class SoldOutError(errors.ProblemError):
    """An error of the app's own."""


app = FastAPI()
router = APIRouter(dependencies=[Depends(require_role("admin"))])
install(app, principal=find_user)
add_problem(app, SoldOutError, 409, "sold-out")
app.dependency_overrides[get_database] = get_session
Admin = Annotated[Principal, Depends(require_role(Role.ADMIN))]


@router.post("/notes")
async def keyed(
    db: DatabaseDep, key: IdempotencyKey, maybe: OptionalIdempotencyKey, me: PrincipalDep
) -> NoteRead:
    """A required key is there; an optional one may not be."""
    assert_type(db, Database)
    assert_type(key, Key)
    assert_type(maybe, Key | None)
    assert_type(me, Principal)
    assert_type(me.id, int)
    assert_type(me.role, str)
    raise errors.NotFoundError


@router.patch("/users/{user_id}")
async def patched(body: UserPatch, user: User, admin: Admin) -> dict[str, Any]:
    """A patch sets what was sent; mixins add typed columns."""
    assert_type(admin, Principal)
    assert_type(user.version, int)
    assert_type(body.apply_to(user), UserPatch)
    return assert_type(body.changes(), dict[str, Any])
