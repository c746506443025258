"""What is asked about posts."""

from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from neonkit_starter.posts.models import Post

_NEWEST = 100


def post_by_id(post_id: int) -> SelectOfScalar[Post]:
    """The post, if there is one."""
    return select(Post).where(Post.id == post_id)


def locked_post(post_id: int) -> SelectOfScalar[Post]:
    """The post, which nobody else changes or deletes until the transaction ends."""
    return post_by_id(post_id).with_for_update(key_share=True)


def posts(*, author_id: int | None = None) -> SelectOfScalar[Post]:
    """All posts, or those of one author."""
    return select(Post) if author_id is None else select(Post).where(Post.author_id == author_id)


def newest_posts_of(author_id: int) -> SelectOfScalar[Post]:
    """The newest 100 posts of an author, newest first."""
    return (
        posts(author_id=author_id)
        .order_by(col(Post.created_at).desc(), col(Post.id).desc())
        .limit(_NEWEST)
    )
