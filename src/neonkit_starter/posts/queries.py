"""What is asked about posts, and the statements that change them."""

from typing import Any

from sqlalchemy import Select, delete, insert, select, update
from sqlalchemy.sql.dml import ReturningDelete, ReturningInsert, ReturningUpdate
from sqlmodel import col

from neonkit_starter.posts.models import Post

Row = tuple[Any, ...]

SHOWN = (
    col(Post.id),
    col(Post.author_id),
    col(Post.title),
    col(Post.content),
    col(Post.created_at),
    col(Post.updated_at),
)
"""What a client sees of a post."""

_NEWEST = 100


def post_by_id(post_id: int) -> Select[*Row]:
    """The post, if there is one."""
    return select(*SHOWN).where(col(Post.id) == post_id)


def posts(*, author_id: int | None = None) -> Select[*Row]:
    """All posts, or those of one author."""
    found = select(*SHOWN)
    return found if author_id is None else found.where(col(Post.author_id) == author_id)


def newest_posts_of(author_id: int) -> Select[*Row]:
    """The newest 100 posts of an author, newest first."""
    latest = col(Post.created_at).desc(), col(Post.id).desc()
    return posts(author_id=author_id).order_by(*latest).limit(_NEWEST)


def create_post(*, author_id: int, title: str, content: str) -> ReturningInsert[*Row]:
    """Write a post."""
    values = {"author_id": author_id, "title": title, "content": content}
    return insert(Post).values(values).returning(*SHOWN)


def change_post(
    post_id: int, changes: dict[str, Any], *, author_id: int | None
) -> ReturningUpdate[*Row]:
    """Change a post of this author, or of anybody (`None`); `changes` must not be empty."""
    changed = update(Post).where(col(Post.id) == post_id).values(changes)
    if author_id is not None:
        changed = changed.where(col(Post.author_id) == author_id)
    return changed.returning(*SHOWN)


def delete_post(post_id: int, *, author_id: int | None) -> ReturningDelete[*Row]:
    """Delete a post of this author, or of anybody (`None`)."""
    deleted = delete(Post).where(col(Post.id) == post_id)
    if author_id is not None:
        deleted = deleted.where(col(Post.author_id) == author_id)
    return deleted.returning(col(Post.id))
