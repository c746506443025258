"""The route that shows a user, with posts where they are asked for."""

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter
from sqlalchemy import Row, Select, select
from sqlmodel import col

from neonkit import CallerDep, DatabaseDep, existing
from neonkit.errors import NotFoundError
from neonkit.web import raises
from neonkit_starter.parameters import Id
from neonkit_starter.posts import queries as posts
from neonkit_starter.posts.models import Post
from neonkit_starter.profiles.schemas import UserReadWithPosts
from neonkit_starter.users import queries as users
from neonkit_starter.users.models import User
from neonkit_starter.users.rules import refuse_strangers
from neonkit_starter.users.schemas import UserRead

router = APIRouter(tags=["users"])

_MOST_POSTS = 100


@router.get(
    "/users/{user_id}",
    response_model=UserReadWithPosts | UserRead,
    openapi_extra=raises(NotFoundError),
)
async def read_user(
    user_id: Id, me: CallerDep, db: DatabaseDep, include: Literal["posts"] | None = None
) -> object:
    """Read an account; `include=posts` adds its newest 100 posts."""
    refuse_strangers(me, user_id)
    if include is None:
        return existing(await db.execute(users.USERS.where(col(User.id) == user_id)))
    return _with_posts((await db.execute(_user_with_posts(user_id))).all())


def _user_with_posts(user_id: int) -> Select[*tuple[Any, ...]]:
    """The user, if there is one, once for each of the newest posts, or with none."""
    newest = (
        posts.POSTS.where(col(Post.author_id) == user_id)
        .order_by(posts.NEWEST_FIRST, col(Post.id).desc())
        .limit(_MOST_POSTS)
        .subquery("newest")
    )
    return (
        select(*users.SHOWN, *(column.label(f"post_{column.key}") for column in newest.c))
        .outerjoin_from(User, newest, newest.c.author_id == col(User.id))
        .where(col(User.id) == user_id)
        .order_by(newest.c.created_at.desc(), newest.c.id.desc())
    )


def _with_posts(rows: Sequence[Row[*tuple[Any, ...]]]) -> dict[str, Any]:
    if not rows:
        raise NotFoundError
    of_user = len(users.SHOWN)
    user = dict(zip(rows[0]._fields, rows[0][:of_user], strict=False))
    names = [name.removeprefix("post_") for name in rows[0]._fields[of_user:]]
    written = [dict(zip(names, row[of_user:], strict=True)) for row in rows]
    return {**user, "posts": [post for post in written if post["id"] is not None]}
