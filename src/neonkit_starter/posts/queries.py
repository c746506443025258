"""The posts as clients see them."""

from sqlalchemy import select
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
NEWEST_FIRST = col(Post.created_at).desc()
