"""The first administrator, whom the environment names."""

import logging

from pydantic import ValidationError
from sqlalchemy import text
from sqlmodel import col
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database
from neonkit.auth import hash_password, weakness_of
from neonkit.errors import ConfigurationError
from neonkit_starter.settings import StarterSettings
from neonkit_starter.users.models import Role, User
from neonkit_starter.users.queries import USERS, user_by_email, user_by_username
from neonkit_starter.users.schemas import UserCreate

_log = logging.getLogger("neonkit_starter")

_LOCK = text("SELECT pg_advisory_xact_lock(hashtext('neonkit_starter.first_admin'))")
_TAKEN = (
    "no administrator was made: FIRST_ADMIN_USERNAME or FIRST_ADMIN_EMAIL is another user's; "
    "give names that are free, or make that user an administrator in the database"
)


def first_admin_of(settings: StarterSettings) -> UserCreate | None:
    """Read FIRST_ADMIN_*; `None` where nobody is named.

    Raises:
        ConfigurationError: which of them breaks which rule of a registration.
    """
    if settings.first_admin_password is None:
        return None
    values = {
        "username": settings.first_admin_username,
        "email": settings.first_admin_email,
        "password": settings.first_admin_password.get_secret_value(),
    }
    try:
        admin = UserCreate.model_validate(values)
    except ValidationError as error:
        found = error.errors(include_input=False, include_context=False, include_url=False)
        said = (f"FIRST_ADMIN_{str(each['loc'][0]).upper()}: {each['msg']}" for each in found)
        raise ConfigurationError("\n".join(said)) from None
    weakness = weakness_of(admin.password, admin.username, admin.email)
    if weakness is not None:
        raise ConfigurationError(f"FIRST_ADMIN_PASSWORD: {weakness}")
    return admin


async def create_first_admin(database: Database, admin: UserCreate) -> None:
    """Make the administrator if there is none; safe from many processes at once, and to repeat."""
    async with database.read_session() as session:
        if await _has_admin(session):
            return
    hashed = await hash_password(admin.password)
    async with database.session() as session:
        await (await session.connection()).execute(_LOCK)
        if await _has_admin(session):
            return
        if await _is_taken(session, admin):
            _log.error(_TAKEN)
            return
        session.add(
            User(
                username=admin.username,
                email=admin.email,
                hashed_password=hashed,
                role=Role.ADMIN,
            )
        )
        await session.commit()


async def _has_admin(session: AsyncSession) -> bool:
    found = USERS.where(col(User.role) == Role.ADMIN).limit(1)
    return await session.scalar(found) is not None


async def _is_taken(session: AsyncSession, admin: UserCreate) -> bool:
    owners = (user_by_username(admin.username), user_by_email(admin.email))
    return any([(await session.exec(owner)).first() is not None for owner in owners])
