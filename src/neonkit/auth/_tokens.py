"""Access tokens: signed, short-lived, and read by one fixed rule whatever their header says."""

import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from secrets import token_urlsafe
from typing import Any

import jwt

from neonkit.auth._principals import Principal
from neonkit.errors import InvalidTokenError

_ALGORITHM = "HS256"
_TYPE = "at+jwt"  # RFC 9068: an access token, and nothing else that this key may sign
_LEEWAY = 5
_LONGEST = 4096
_MOST = 1024  # tokens that are remembered
_REQUIRED = ["iss", "aud", "sub", "iat", "exp", "jti"]


@dataclass(frozen=True)
class TokenPolicy:
    """How access tokens are made and read.

    Attributes:
        keys: the first one signs; all of them verify, so that a key can be replaced.
        issuer: who made the token, and whom it is for.
        lifetime: seconds until it expires; one that is to hold for longer was not made here.
    """

    keys: Sequence[bytes] = field(repr=False)
    issuer: str = "neonkit"
    lifetime: int = 900


@dataclass(frozen=True)
class AccessToken:
    """A valid token, read.

    Attributes:
        subject: whose it is.
        principal: who they were when it was made, if it says so; a hint, never a right.
        expires_at: until when it holds, in seconds since 1970.
    """

    subject: str
    principal: Principal | None = None
    expires_at: float = field(default=float("inf"), compare=False)


def issue_access_token(
    policy: TokenPolicy, subject: str, principal: Principal | None = None
) -> str:
    """Sign a token that says who its bearer is.

    Args:
        policy: how.
        subject: whose it is.
        principal: who they are at this moment. What they may do is never taken from the token;
            but a statement that is written for this principal, and checks that they still are the
            same, needs no look at them before.
    """
    now = datetime.now(UTC)
    claims = {
        "iss": policy.issuer,
        "aud": policy.issuer,
        "sub": subject,
        "iat": now,
        "exp": now + timedelta(seconds=policy.lifetime),
        "jti": token_urlsafe(12),
    }
    if principal is not None:
        claims |= {"uid": principal.id, "role": principal.role}
    return jwt.encode(claims, policy.keys[0], _ALGORITHM, headers={"typ": _TYPE})


def read_access_token(policy: TokenPolicy, token: str) -> AccessToken:
    """Give what a valid token says.

    The algorithm is ours, never the token's own (RFC 8725 section 3.1); keys that a header
    names or carries are not looked at. Clocks may differ by 5 s.

    Raises:
        InvalidTokenError: for any reason, without saying which.
    """
    if len(token) > _LONGEST or not token.isascii():
        raise InvalidTokenError
    read = _verified(tuple(policy.keys), policy.issuer, policy.lifetime, token)
    if read.expires_at <= time.time() - _LEEWAY:
        raise InvalidTokenError
    return read


@lru_cache(_MOST)
def _verified(keys: tuple[bytes, ...], issuer: str, lifetime: int, token: str) -> AccessToken:
    """Verify a token; a signature that held once holds for good."""
    for key in keys:
        claims = _claims(issuer, token, key)
        if claims is not None and _life_of(claims) <= lifetime:
            return AccessToken(claims["sub"], _principal(claims), float(claims["exp"]))
    raise InvalidTokenError


def _claims(issuer: str, token: str, key: bytes) -> dict[str, Any] | None:
    try:
        whole = jwt.decode_complete(
            token,
            key,
            algorithms=[_ALGORITHM],
            audience=issuer,
            issuer=issuer,
            leeway=_LEEWAY,
            options={"require": _REQUIRED},
        )
    except (jwt.PyJWTError, ValueError, OverflowError, TypeError):
        return None
    header = whole["header"]
    claims: dict[str, Any] = whole["payload"]
    if header.get("typ") != _TYPE or "crit" in header or not isinstance(claims["sub"], str):
        return None
    return claims


def _life_of(claims: dict[str, Any]) -> float:
    """Seconds from when it was made to when it expires; without end where no number says so."""
    begins, ends = claims["iat"], claims["exp"]
    return ends - begins if type(begins) is type(ends) is int else math.inf


def _principal(claims: dict[str, Any]) -> Principal | None:
    if isinstance(claims.get("uid"), int) and isinstance(claims.get("role"), str):
        return Principal(claims["uid"], claims["role"])
    return None
