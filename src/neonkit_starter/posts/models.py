"""The table of posts."""

from sqlalchemy import Index
from sqlmodel import Field

from neonkit import TableModel, TimestampMixin, VersionMixin
from neonkit.resources import search_index


class Post(TimestampMixin, VersionMixin, TableModel, table=True):
    """A post; its author cannot be deleted while it is there."""

    __tablename__ = "posts"  # pyright: ignore[reportAssignmentType]  # SQLModel types it as a method
    __table_args__ = (
        Index(None, "created_at", "id"),
        Index(None, "author_id", "created_at", "id"),
        Index(None, "title", "id"),
        search_index("title", "content"),
    )

    id: int | None = Field(default=None, primary_key=True)
    author_id: int = Field(foreign_key="users.id")
    title: str = Field(max_length=200)
    content: str
