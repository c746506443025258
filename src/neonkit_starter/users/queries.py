"""The users as clients see them, and how one is found."""

from typing import Any

from sqlalchemy import Label, Select, String, cast, func, literal, select
from sqlmodel import col
from sqlmodel import select as select_entity
from sqlmodel.sql.expression import SelectOfScalar

from neonkit.auth import sign_in_epoch
from neonkit_starter.parameters import LARGEST_ID
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
ETAG: Label[int] = col(User.version).label("etag")
USER = select(*SHOWN, ETAG)
"""A user on their own, with the entity tag."""
SUBJECT = cast(col(User.id), String)
"""The subject of a user's tokens."""


def principal_of(subject: str) -> Select[*tuple[Any, ...]]:
    """Who a token's owner is, for the toolkit; the subject is the user's id."""
    principal = select(col(User.id), col(User.role), col(User.is_active))
    is_id = subject.isascii() and subject.isdecimal() and int(subject) <= LARGEST_ID
    return principal.where(col(User.id) == (int(subject) if is_id else 0))


def login_of(username: str) -> Select[*tuple[Any, ...]]:
    """What a login looks at, of the user of this name; one row of nothing where there is none."""
    looked_at = (
        col(User.id),
        col(User.role),
        col(User.is_active),
        col(User.hashed_password),
        sign_in_epoch(SUBJECT).label("epoch"),
    )
    is_theirs = func.lower(col(User.username)) == func.lower(username)
    always = select(literal(1).label("one")).subquery("always")
    return select(*looked_at).select_from(always.outerjoin(User, is_theirs))


def user_by_username(username: str) -> SelectOfScalar[User]:
    """The user of this name, however it is capitalized."""
    return select_entity(User).where(func.lower(col(User.username)) == func.lower(username))


def user_by_email(email: str) -> SelectOfScalar[User]:
    """The user of this address, however it is capitalized."""
    return select_entity(User).where(func.lower(col(User.email)) == func.lower(email))
