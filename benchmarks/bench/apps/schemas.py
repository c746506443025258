"""What clients of the compared apps send and get."""

from datetime import datetime
from decimal import Decimal
from enum import Enum

from pydantic import BaseModel


class UserRole(str, Enum):  # noqa: UP042  # the guide's own form, which decides what is stored
    """What a user may do."""

    ADMIN = "admin"
    USER = "user"
    MODERATOR = "moderator"


class UserRead(BaseModel):
    """A user, as clients see one."""

    id: int
    username: str
    email: str
    role: UserRole
    is_active: bool
    created_at: datetime


class PostRead(BaseModel):
    """A post, as clients see one."""

    id: int
    author_id: int
    title: str
    content: str
    created_at: datetime
    updated_at: datetime | None


class UserReadWithPosts(UserRead):
    """A user with all posts."""

    posts: list[PostRead]


class UserPage(BaseModel):
    """Some users, and how many there are."""

    items: list[UserRead]
    total: int


class PostCreate(BaseModel):
    """A new post."""

    author_id: int
    title: str
    content: str


class PostUpdate(BaseModel):
    """What changes in a post."""

    title: str | None = None
    content: str | None = None


class TransferCreate(BaseModel):
    """Money that is to go from one account to another."""

    from_account_id: int
    to_account_id: int
    amount: Decimal


class TransferRead(BaseModel):
    """Money that went."""

    status: str = "ok"
