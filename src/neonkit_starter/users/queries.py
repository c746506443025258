"""What is asked about users, and the statements that change them."""

from functools import lru_cache
from typing import Any

from sqlalchemy import Select, bindparam, delete, func, insert, select, update
from sqlalchemy.sql.dml import ReturningDelete, ReturningInsert, ReturningUpdate
from sqlmodel import col
from sqlmodel import select as select_entity
from sqlmodel.sql.expression import SelectOfScalar

from neonkit_starter.posts import queries as posts
from neonkit_starter.users.models import Role, User

Row = tuple[Any, ...]

SHOWN = (
    col(User.id),
    col(User.username),
    col(User.email),
    col(User.role),
    col(User.is_active),
    col(User.created_at),
)
"""What a client sees of a user."""


# made once: to make a statement takes longer than to send it
_PRINCIPAL = select(col(User.id), col(User.role), col(User.is_active)).where(
    col(User.id) == bindparam("subject")
)
_USERS = select(*SHOWN)
USER_BY_ID = _USERS.where(col(User.id) == bindparam("user_id"))
_NEWEST = posts.newest_posts_of(bindparam("user_id")).subquery("newest")
USER_WITH_POSTS = (
    select(*SHOWN, *(column.label(f"post_{column.key}") for column in _NEWEST.columns))
    .outerjoin_from(User, _NEWEST, _NEWEST.columns.author_id == col(User.id))
    .where(col(User.id) == bindparam("user_id"))
    .order_by(_NEWEST.columns.created_at.desc(), _NEWEST.columns.id.desc())
)
"""The user, if there is one, once for each of the newest 100 posts, or with none."""


@lru_cache
def principal_of(subject: str) -> Select[*Row]:
    """What the toolkit must know of a token's owner; the subject is the user's id."""
    return _PRINCIPAL.params(subject=int(subject))


def user_by_username(username: str) -> SelectOfScalar[User]:
    """The user of this name, however it is capitalized."""
    return select_entity(User).where(func.lower(col(User.username)) == func.lower(username))


def user_by_email(email: str) -> SelectOfScalar[User]:
    """The user of this address, however it is capitalized."""
    return select_entity(User).where(func.lower(col(User.email)) == func.lower(email))


def users(*, role: Role | None = None, is_active: bool | None = None) -> Select[*Row]:
    """All users, or those of a role or a state."""
    found = _USERS
    if role is not None:
        found = found.where(col(User.role) == role)
    if is_active is not None:
        found = found.where(col(User.is_active) == is_active)
    return found


def create_user(*, username: str, email: str, hashed_password: str) -> ReturningInsert[*Row]:
    """Register a user."""
    values = {"username": username, "email": email, "hashed_password": hashed_password}
    return insert(User).values(values).returning(*SHOWN)


def change_user(user_id: int, changes: dict[str, Any]) -> ReturningUpdate[*Row]:
    """Change a user, if there is one; `changes` must not be empty."""
    changed = update(User).where(col(User.id) == user_id).values(changes)
    return changed.returning(*SHOWN)


def delete_user(user_id: int) -> ReturningDelete[*Row]:
    """Delete a user, if there is one."""
    return delete(User).where(col(User.id) == user_id).returning(col(User.id))
