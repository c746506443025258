"""A user's account with posts, as clients see it."""

from neonkit_starter.posts.schemas import PostRead
from neonkit_starter.users.schemas import UserRead


class UserReadWithPosts(UserRead):
    """A user with the newest posts."""

    posts: list[PostRead]
