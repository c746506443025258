"""Names and passwords become tokens."""

import re
from typing import Annotated

from fastapi import APIRouter, Depends, Response
from fastapi.security import OAuth2PasswordRequestForm

from neonkit import Database, DatabaseDep
from neonkit.auth import Principal, issue_access_token, verify_password
from neonkit.errors import InvalidCredentialsError
from neonkit.web import TokenPolicyDep, raises
from neonkit_starter.auth.schemas import TokenRead
from neonkit_starter.users.models import User
from neonkit_starter.users.queries import user_by_username

router = APIRouter(prefix="/auth", tags=["auth"])

_A_NAME = re.compile(r"[A-Za-z0-9._-]{3,50}")


@router.post("/token", response_model=TokenRead, openapi_extra=raises(InvalidCredentialsError))
async def create_token(
    form: Annotated[OAuth2PasswordRequestForm, Depends()],
    database: DatabaseDep,
    tokens: TokenPolicyDep,
    response: Response,
) -> TokenRead:
    """Sign in by username, not by address."""
    user = await _find(database, form.username)
    is_right = await verify_password(form.password, user.hashed_password if user else None)
    if user is None or not is_right or not user.is_active:
        raise InvalidCredentialsError
    response.headers["Cache-Control"] = "no-store"
    principal = Principal(user.id or 0, user.role)
    token = issue_access_token(tokens, str(user.id), principal)
    return TokenRead(access_token=token, expires_in=tokens.lifetime)


async def _find(database: Database, username: str) -> User | None:
    """Look the user up, in a transaction that is over before the slow check begins."""
    if not _A_NAME.fullmatch(username):
        return None
    async with database.read_session() as session:
        return (await session.exec(user_by_username(username))).one_or_none()
