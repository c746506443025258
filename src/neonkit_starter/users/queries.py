"""What is asked about users."""

from typing import Any

from sqlalchemy import Select, func
from sqlmodel import col, select
from sqlmodel.sql.expression import SelectOfScalar

from neonkit_starter.users.models import Role, User


def principal_of(subject: str) -> Select[*tuple[Any, ...]]:
    """What the toolkit must know of a token's owner; the subject is the user's id."""
    return select(col(User.id), col(User.role), col(User.is_active)).where(
        col(User.id) == int(subject)
    )


def user_by_id(user_id: int) -> SelectOfScalar[User]:
    """The user, if there is one."""
    return select(User).where(User.id == user_id)


def user_by_username(username: str) -> SelectOfScalar[User]:
    """The user of this name, however it is capitalized."""
    return select(User).where(func.lower(col(User.username)) == func.lower(username))


def user_by_email(email: str) -> SelectOfScalar[User]:
    """The user of this address, however it is capitalized."""
    return select(User).where(func.lower(col(User.email)) == func.lower(email))


def users(*, role: Role | None = None, is_active: bool | None = None) -> SelectOfScalar[User]:
    """All users, or those of a role or a state."""
    found = select(User)
    if role is not None:
        found = found.where(col(User.role) == role)
    if is_active is not None:
        found = found.where(col(User.is_active) == is_active)
    return found


def locked(found: SelectOfScalar[User]) -> SelectOfScalar[User]:
    """The same rows, which nobody else changes or deletes until the transaction ends."""
    return found.with_for_update(key_share=True)
