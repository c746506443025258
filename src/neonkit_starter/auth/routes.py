"""Names and passwords become tokens, which are renewed and ended."""

import re
from functools import partial
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Response
from fastapi.security import OAuth2PasswordRequestForm
from sqlalchemy import Row, select, update
from sqlmodel import col

from neonkit import CallerDep, Database, DatabaseDep, existing
from neonkit.auth import (
    Principal,
    Ride,
    TokenPair,
    ending_sign_ins,
    hash_password,
    log_security_event,
    needs_rehash,
    verify_password,
)
from neonkit.errors import InvalidCredentialsError, InvalidTokenError, RateLimitedError
from neonkit.web import SignInsDep, ThrottlesDep, raises
from neonkit_starter.auth.schemas import PasswordChange, RefreshTokenGiven, TokenRead
from neonkit_starter.users.errors import WeakPasswordError
from neonkit_starter.users.models import User
from neonkit_starter.users.queries import SUBJECT, login_of
from neonkit_starter.users.rules import refuse_weak
from neonkit_starter.users.throttling import PasswordAttemptsDep

router = APIRouter(prefix="/auth", tags=["auth"])

_A_NAME = re.compile(r"[A-Za-z0-9._-]{3,50}")


def no_store(response: Response) -> None:
    """Keep the answer out of every cache."""
    response.headers["Cache-Control"] = "no-store"


@router.post(
    "/token",
    response_model=TokenRead,
    dependencies=[Depends(no_store)],
    openapi_extra=raises(InvalidCredentialsError, RateLimitedError),
)
async def create_token(
    form: Annotated[OAuth2PasswordRequestForm, Depends()],
    database: DatabaseDep,
    sign_ins: SignInsDep,
    throttles: ThrottlesDep,
    attempts_of: PasswordAttemptsDep,
) -> TokenPair:
    """Sign in by username, not by address."""
    attempts = attempts_of(form.username)
    user = await _find(database, form.username, throttles.ride(*attempts))
    hashed = user.hashed_password if user else None
    still = partial(throttles.refuse, *attempts)
    is_right = await verify_password(form.password, hashed, before=still)
    if user is None or not is_right or not user.is_active:
        throttles.add(*attempts)
        log_security_event("login-refused", subject=str(user.id) if user else None)
        raise InvalidCredentialsError
    if needs_rehash(user.hashed_password):
        await _rehash(database, user, form.password)
    return sign_ins.begin(str(user.id), Principal(user.id, user.role), user.epoch)


@router.post(
    "/refresh",
    response_model=TokenRead,
    dependencies=[Depends(no_store)],
    openapi_extra=raises(InvalidTokenError),
)
async def refresh_token(body: RefreshTokenGiven, sign_ins: SignInsDep) -> TokenPair:
    """Get the next pair for a refresh token; used a second time, it ends the sign-in."""
    return await sign_ins.renew(body.refresh_token)


@router.post("/logout", status_code=204, openapi_extra=raises(InvalidTokenError))
async def logout(body: RefreshTokenGiven, sign_ins: SignInsDep) -> None:
    """End the sign-in that a refresh token belongs to, its access tokens included."""
    await sign_ins.end(body.refresh_token)


@router.post(
    "/password",
    status_code=204,
    openapi_extra=raises(InvalidCredentialsError, RateLimitedError, WeakPasswordError),
)
async def change_password(
    body: PasswordChange,
    attempts_of: PasswordAttemptsDep,
    me: CallerDep,
    db: DatabaseDep,
    throttles: ThrottlesDep,
) -> None:
    """Change your password; all of your other sign-ins end."""
    known = select(col(User.username), col(User.email), col(User.hashed_password))
    user: Row[Any] = existing(await db.execute(known.where(col(User.id) == me.id)))
    refuse_weak(body.new_password, username=user.username, email=user.email, field="new_password")
    attempts = attempts_of(user.username)
    throttles.refuse(*attempts)
    still = partial(throttles.refuse, *attempts)
    if not await verify_password(body.current_password, user.hashed_password, before=still):
        throttles.add(*attempts)
        log_security_event("login-refused", subject=str(me.id))
        raise InvalidCredentialsError("The current password is wrong.")
    changed = (
        update(User)
        .where(col(User.id) == me.id, col(User.hashed_password) == user.hashed_password)
        .values(hashed_password=await hash_password(body.new_password))
        .returning(SUBJECT.label("subject"))
        .cte("changed")
    )
    ended = ending_sign_ins(changed, changed.c.subject, kept=me.sign_in)
    done = await db.execute(select(changed.c.subject).add_cte(ended.cte("ended")))
    if done.one_or_none() is None:  # somebody else changed it meanwhile
        raise InvalidCredentialsError("The current password is wrong.")
    log_security_event("password-changed", subject=str(me.id))


async def _find(database: Database, username: str, ride: Ride) -> Row[Any] | None:
    """Look the user up, in a transaction that is over before the slow check begins."""
    if not _A_NAME.fullmatch(username):
        return None
    found = await database.execute(ride.on(login_of(username)), conditions=ride.conditions)
    ride.arrived()
    row: Row[Any] = found.one()
    return None if row.id is None else row


async def _rehash(database: Database, user: Row[Any], password: str) -> None:
    """Keep the password as new ones are kept, unless it has been changed meanwhile."""
    is_same = (col(User.id) == user.id, col(User.hashed_password) == user.hashed_password)
    change = update(User).where(*is_same).values(hashed_password=await hash_password(password))
    await database.execute(change.returning(col(User.id)))
