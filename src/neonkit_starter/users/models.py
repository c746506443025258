"""The table of users."""

from enum import StrEnum

from sqlalchemy import Index, func
from sqlmodel import Field, col

from neonkit import TableModel, TimestampMixin, VersionMixin
from neonkit.resources import search_index


class Role(StrEnum):
    """A user's rights."""

    USER = "user"
    MODERATOR = "moderator"
    ADMIN = "admin"


class User(TimestampMixin, VersionMixin, TableModel, table=True):
    """A user; `user` is a reserved word in SQL, hence the table's name."""

    __tablename__ = "users"  # pyright: ignore[reportAssignmentType]  # SQLModel types it as a method
    __table_args__ = (
        Index(None, "username", "id"),
        Index(None, "created_at", "id"),
        Index(None, "role", "id"),
        Index(None, "is_active", "id"),
        search_index("username", "email"),
    )

    id: int | None = Field(default=None, primary_key=True)
    username: str = Field(max_length=50)
    email: str = Field(max_length=100)
    hashed_password: str = Field(repr=False)
    role: Role = Field(default=Role.USER)
    is_active: bool = Field(default=True)


Index("ux_users_username", func.lower(col(User.username)), unique=True, info={"field": "username"})
Index("ux_users_email", func.lower(col(User.email)), unique=True, info={"field": "email"})
