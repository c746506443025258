"""Access tokens: signed, short-lived, and read by one fixed rule whatever their header says."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from secrets import token_urlsafe

import jwt

from neonkit.errors import InvalidTokenError

_ALGORITHM = "HS256"
_TYPE = "at+jwt"  # RFC 9068: an access token, and nothing else that this key may sign
_LEEWAY = 5
_LONGEST = 4096
_REQUIRED = ["iss", "aud", "sub", "iat", "exp", "jti"]


@dataclass(frozen=True)
class TokenPolicy:
    """How access tokens are made and read.

    Attributes:
        keys: the first one signs; all of them verify, so that a key can be replaced.
        issuer: who made the token, and whom it is for.
        lifetime: seconds until it expires.
    """

    keys: Sequence[bytes] = field(repr=False)
    issuer: str = "neonkit"
    lifetime: int = 900


def issue_access_token(policy: TokenPolicy, subject: str) -> str:
    """Sign a token that says who its bearer is, and nothing of what they may do."""
    now = datetime.now(UTC)
    claims = {
        "iss": policy.issuer,
        "aud": policy.issuer,
        "sub": subject,
        "iat": now,
        "exp": now + timedelta(seconds=policy.lifetime),
        "jti": token_urlsafe(12),
    }
    return jwt.encode(claims, policy.keys[0], _ALGORITHM, headers={"typ": _TYPE})


def read_access_token(policy: TokenPolicy, token: str) -> str:
    """Give the subject of a valid token.

    The algorithm is ours, never the token's own (RFC 8725 section 3.1); keys that a header
    names or carries are not looked at. Clocks may differ by 5 s.

    Raises:
        InvalidTokenError: for any reason, without saying which.
    """
    if len(token) <= _LONGEST and token.isascii():
        for key in policy.keys:
            subject = _subject(policy, token, key)
            if subject is not None:
                return subject
    raise InvalidTokenError


def _subject(policy: TokenPolicy, token: str, key: bytes) -> str | None:
    try:
        whole = jwt.decode_complete(
            token,
            key,
            algorithms=[_ALGORITHM],
            audience=policy.issuer,
            issuer=policy.issuer,
            leeway=_LEEWAY,
            options={"require": _REQUIRED},
        )
    except (jwt.PyJWTError, ValueError, OverflowError, TypeError):
        return None
    header, claims = whole["header"], whole["payload"]
    if header.get("typ") != _TYPE or "crit" in header or not isinstance(claims["sub"], str):
        return None
    return str(claims["sub"])
