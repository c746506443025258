"""The routes of a user together with what is theirs."""

from collections.abc import Sequence
from typing import Any, Literal

from fastapi import APIRouter
from sqlalchemy import Row, Select, select, update
from sqlmodel import col

from neonkit import (
    CallerDep,
    Condition,
    DatabaseDep,
    OptionalIdempotencyKey,
    TaggedDep,
    existing,
)
from neonkit.auth import ending_sign_ins, log_security_event
from neonkit.errors import HasDependentsError, NotFoundError
from neonkit.web import raises
from neonkit_starter.accounts.models import Account, Status
from neonkit_starter.parameters import Id
from neonkit_starter.posts import queries as posts
from neonkit_starter.posts.models import Post
from neonkit_starter.profiles.schemas import UserReadWithPosts
from neonkit_starter.users import queries as users
from neonkit_starter.users.models import Role, User
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
    user_id: Id,
    me: CallerDep,
    db: DatabaseDep,
    tagged: TaggedDep,
    include: Literal["posts"] | None = None,
) -> object:
    """Read an account; `include=posts` adds its newest 100 posts."""
    refuse_strangers(me, user_id)
    if include is None:
        return tagged(existing(await db.execute(users.USER.where(col(User.id) == user_id))))
    return _with_posts((await db.execute(_user_with_posts(user_id))).all())


@router.post(
    "/users/{user_id}/anonymize",
    status_code=204,
    openapi_extra=raises(HasDependentsError, NotFoundError),
)
async def anonymize_user(
    user_id: Id, me: CallerDep, db: DatabaseDep, key: OptionalIdempotencyKey
) -> None:
    """Forget who somebody is, for good; posts and closed accounts stay, without a name."""
    refuse_strangers(me, user_id)
    user = select(col(User.id)).where(col(User.id) == user_id)
    opened = select(col(Account.id)).where(
        col(Account.owner_id) == user_id, col(Account.status) == Status.OPEN
    )
    rules = [
        Condition(user.exists(), NotFoundError),
        Condition(~opened.exists(), HasDependentsError),
    ]
    await db.execute(_anonymizing(user_id), key, conditions=rules)
    log_security_event("sign-ins-ended", subject=str(user_id), by=str(me.id))


def _anonymizing(user_id: int) -> Select[*tuple[Any, ...]]:
    """Replace what is personal by what nobody could register, and end all sign-ins."""
    nobody = f"anonymous~{user_id}"
    values = {
        "username": nobody,
        "email": f"{nobody}@invalid",
        "hashed_password": "-",  # no password has this hash
        "role": Role.USER,
        "is_active": False,
    }
    change = update(User).where(col(User.id) == user_id).values(values)
    changed = change.returning(users.SUBJECT.label("subject")).cte("changed")
    ended = ending_sign_ins(changed, changed.c.subject)
    return select(changed.c.subject).add_cte(ended.cte("ended"))


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
