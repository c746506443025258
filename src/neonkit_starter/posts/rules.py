"""Who may write a post."""

from sqlalchemy import select
from sqlmodel import col

from neonkit import Condition
from neonkit.errors import ForbiddenError, NotFoundError
from neonkit.web import Principal
from neonkit_starter.posts.models import Post
from neonkit_starter.users.models import Role


def writable(post_id: int, me: Principal) -> list[Condition]:
    """The post is there, and it is the caller's; moderators and administrators write all."""
    post = select(col(Post.id)).where(col(Post.id) == post_id)
    is_there = Condition(post.exists(), NotFoundError)
    if me.role in {Role.MODERATOR, Role.ADMIN}:
        return [is_there]
    return [is_there, Condition(post.where(col(Post.author_id) == me.id).exists(), ForbiddenError)]
