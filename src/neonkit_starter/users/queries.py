"""The users as clients see them, and how one is found."""

from typing import Any

from sqlalchemy import Select, func, select
from sqlmodel import col
from sqlmodel import select as select_entity
from sqlmodel.sql.expression import SelectOfScalar

from neonkit_starter.users.models import User

SHOWN = (
    col(User.id),
    col(User.username),
    col(User.email),
    col(User.role),
    col(User.is_active),
    col(User.created_at),
)
USERS = select(*SHOWN)


def principal_of(subject: str) -> Select[*tuple[Any, ...]]:
    """Who a token's owner is, for the toolkit; the subject is the user's id."""
    principal = select(col(User.id), col(User.role), col(User.is_active))
    return principal.where(col(User.id) == int(subject))


def user_by_username(username: str) -> SelectOfScalar[User]:
    """The user of this name, however it is capitalized."""
    return select_entity(User).where(func.lower(col(User.username)) == func.lower(username))


def user_by_email(email: str) -> SelectOfScalar[User]:
    """The user of this address, however it is capitalized."""
    return select_entity(User).where(func.lower(col(User.email)) == func.lower(email))
