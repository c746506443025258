"""What is asked about posts, and the statements that change them."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from sqlalchemy import BindParameter, Select, bindparam, delete, insert, select, update
from sqlalchemy.sql.dml import ReturningDelete, ReturningUpdate
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


# made once: to make a statement takes longer than to send it
_POSTS = select(*SHOWN)
POST_BY_ID = _POSTS.where(col(Post.id) == bindparam("post_id"))
CREATE_POST = (
    insert(Post)
    .values({name: bindparam(f"new_{name}") for name in ("author_id", "title", "content")})
    .returning(*SHOWN)
)
"""Write a post; its parameters are what `new` makes of these."""


def posts(*, author_id: int | BindParameter[int] | None = None) -> Select[*Row]:
    """All posts, or those of one author."""
    found = _POSTS
    return found if author_id is None else found.where(col(Post.author_id) == author_id)


def newest_posts_of(author_id: BindParameter[int]) -> Select[*Row]:
    """The newest 100 posts of an author, newest first."""
    latest = col(Post.created_at).desc(), col(Post.id).desc()
    return posts(author_id=author_id).order_by(*latest).limit(_NEWEST)


@lru_cache
def change_post(names: frozenset[str], *, is_by_anybody: bool) -> ReturningUpdate[*Row]:
    """Change these columns of the post `post_id`: one by `writer`, or by anybody."""
    changed = update(Post).where(col(Post.id) == bindparam("post_id"))
    if not is_by_anybody:
        changed = changed.where(col(Post.author_id) == bindparam("writer"))
    return changed.values({name: bindparam(f"new_{name}") for name in names}).returning(*SHOWN)


def new(values: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters that give columns these values."""
    return {f"new_{name}": value for name, value in values.items()}


def delete_post(post_id: int, *, author_id: int | None) -> ReturningDelete[*Row]:
    """Delete a post of this author, or of anybody (`None`)."""
    deleted = delete(Post).where(col(Post.id) == post_id)
    if author_id is not None:
        deleted = deleted.where(col(Post.author_id) == author_id)
    return deleted.returning(col(Post.id))
