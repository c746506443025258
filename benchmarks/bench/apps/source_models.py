"""The tables of the way of Neon's guide, as it declares them.

Mended so that they run and compare: times are aware of their zone, without which SQLModel refuses
them; a foreign key has the index that it lacks, or its figures would be those of table scans; the
account that its transfer assumes exists, and holds money in decimals.
"""

from datetime import UTC, datetime
from decimal import Decimal

from sqlalchemy import MetaData
from sqlalchemy.orm import registry
from sqlmodel import Field, Relationship, SQLModel

from benchmarks.bench.apps.schemas import UserRole


def _now() -> datetime:
    return datetime.now(UTC)


class Source(SQLModel, registry=registry(metadata=MetaData())):
    """Tables of its own, which no other app of the process meets."""


class User(Source, table=True):
    """A user."""

    id: int | None = Field(default=None, primary_key=True)
    username: str = Field(unique=True, min_length=3, max_length=50)
    email: str = Field(unique=True, min_length=5, max_length=100)
    hashed_password: str = Field(min_length=8)
    role: UserRole = Field(default=UserRole.USER)
    is_active: bool = Field(default=True)
    created_at: datetime = Field(default_factory=_now)

    posts: list["Post"] = Relationship(back_populates="author")


class Post(Source, table=True):
    """A post."""

    id: int | None = Field(default=None, primary_key=True)
    title: str = Field(min_length=1, max_length=200)
    content: str = Field(min_length=1)
    author_id: int = Field(foreign_key="user.id", index=True)
    created_at: datetime = Field(default_factory=_now)
    updated_at: datetime | None = Field(default=None)

    author: User = Relationship(back_populates="posts")


class Account(Source, table=True):
    """An account without a ledger, for the bare transfer of every app."""

    id: int | None = Field(default=None, primary_key=True)
    balance: Decimal = Field(max_digits=17, decimal_places=2)
