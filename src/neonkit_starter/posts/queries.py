"""The posts as clients see them."""

from sqlalchemy import Label, select
from sqlmodel import col

from neonkit_starter.posts.models import Post

SHOWN = (
    col(Post.id),
    col(Post.author_id),
    col(Post.title),
    col(Post.content),
    col(Post.created_at),
    col(Post.updated_at),
)
POSTS = select(*SHOWN)
ETAG: Label[int] = col(Post.version).label("etag")
POST = select(*SHOWN, ETAG)
"""A post on its own, with its entity tag."""
NEWEST_FIRST = col(Post.created_at).desc()
