"""The bodies that clients send and get."""

from typing import Annotated

from pydantic import AfterValidator, BaseModel, Field, StringConstraints

from neonkit import InputModel, PatchModel, UtcDateTime
from neonkit_starter.users.models import Role
from neonkit_starter.users.rules import check_email

Username = Annotated[
    str, StringConstraints(min_length=3, max_length=50, pattern=r"^[A-Za-z0-9._-]+$")
]
Email = Annotated[
    str,
    StringConstraints(min_length=5, max_length=100),
    AfterValidator(check_email),
    Field(json_schema_extra={"pattern": r"^[^@\s]+@[^@\s.]+(\.[^@\s.]+)+$"}),
]
Password = Annotated[str, StringConstraints(min_length=15, max_length=128)]


class UserCreate(InputModel):
    """A registration."""

    username: Username
    email: Email
    password: Password


class UserPatch(PatchModel):
    """Changes that users make of themselves."""

    username: Username
    email: Email


class UserPatchByAdmin(UserPatch):
    """Changes that administrators make besides."""

    role: Role
    is_active: bool


class UserRead(BaseModel):
    """A user, as clients see one."""

    id: int
    username: str
    email: str
    role: Role
    is_active: bool
    created_at: UtcDateTime
