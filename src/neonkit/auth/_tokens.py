"""Access tokens: signed, short-lived, and read by one fixed rule whatever their header says."""

import hmac
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from secrets import token_urlsafe
from typing import Any

from neonkit.auth._jws import decode_base64url, encode_base64url, parse_jws
from neonkit.auth._principals import Principal, SignIn
from neonkit.errors import InvalidTokenError

_ALGORITHM = "HS256"
_TYPE = "at+jwt"  # RFC 9068: an access token, and nothing else that this key may sign
_LEEWAY = 5
_MOST = 1024  # tokens that are remembered
_LATEST = 2**53  # a time that every reader of JSON reads alike
_TEXTS = ("iss", "aud", "sub", "jti")
_TIMES = ("iat", "exp")
_HINTS: dict[str, type] = {"uid": int, "role": str}
_SIGN_IN: dict[str, type] = {"sid": str, "epoch": int}
_REQUIRED = {*_TEXTS, *_TIMES}
_KNOWN = _REQUIRED | _HINTS.keys() | _SIGN_IN.keys()


@dataclass(frozen=True)
class TokenPolicy:
    """How tokens are made and read.

    Attributes:
        keys: the first one signs; all of them verify, so that a key can be replaced.
        issuer: who made the token, and whom it is for.
        lifetime: seconds until it expires; one that is to hold for longer was not made here.
        refresh_lifetime: seconds that a refresh token holds, from when it was given out.
        refresh_grace: seconds in which the refresh token before the newest gives the newest again.
    """

    keys: Sequence[bytes] = field(repr=False)
    issuer: str = "neonkit"
    lifetime: int = 900
    refresh_lifetime: int = 2_592_000
    refresh_grace: int = 10


@dataclass(frozen=True)
class AccessToken:
    """A valid token, read.

    Attributes:
        subject: whose it is.
        principal: who they were when it was made, if it says so; a hint, never a right.
        sign_in: which it belongs to; `None` for one that was signed on its own.
        expires_at: until when it holds, in seconds since 1970.
    """

    subject: str
    principal: Principal | None = None
    sign_in: SignIn | None = None
    expires_at: float = field(default=float("inf"), compare=False)


def issue_access_token(
    policy: TokenPolicy,
    subject: str,
    principal: Principal | None = None,
) -> str:
    """Sign a token that says who its bearer is.

    It belongs to no sign-in: it holds until it expires, and no logout ends it. `SignIns` gives out
    those that one ends.

    Args:
        policy: how.
        subject: whose it is.
        principal: who they are at this moment. What they may do is never taken from the token;
            but a statement that is written for this principal, and checks that they still are the
            same, needs no look at them before.
    """
    return signed_access_token(policy, subject, principal, int(time.time()), token_urlsafe(12))


def signed_access_token(
    policy: TokenPolicy, subject: str, principal: Principal | None, at: int, serial: str
) -> str:
    """Sign a token as of a moment; the same of the same is the same token.

    Args:
        policy: how.
        subject: whose it is.
        principal: who they are; their sign-in is the one that it belongs to.
        at: seconds since 1970.
        serial: its `jti`, which no other token has.
    """
    claims: dict[str, object] = {
        "iss": policy.issuer,
        "aud": policy.issuer,
        "sub": subject,
        "iat": at,
        "exp": at + policy.lifetime,
        "jti": serial,
    }
    if principal is not None:
        claims |= {"uid": principal.id, "role": principal.role}
        if principal.sign_in is not None:
            sign_in = principal.sign_in
            claims |= {"sid": encode_base64url(sign_in.id), "epoch": sign_in.epoch}
    key = policy.keys[0]
    import jwt  # with cryptography: an app without tokens is spared both

    return jwt.encode(claims, key, _ALGORITHM, headers={"typ": _TYPE, "kid": key_id(key)})


@lru_cache
def key_id(key: bytes) -> str:
    """The name of a signing key, in the header of what it signs; it tells nothing of the key."""
    return encode_base64url(hmac.digest(key, b"neonkit.kid.1\0", "sha256")[:9])


def read_access_token(policy: TokenPolicy, token: str) -> AccessToken:
    """Give what a valid token says.

    The algorithm is ours, never the token's own (RFC 8725 section 3.1); its header chooses among
    our keys and does nothing else. Clocks may differ by 5 s.

    Raises:
        InvalidTokenError: for any reason, without saying which.
    """
    read = _verified(tuple(policy.keys), policy.issuer, policy.lifetime, token)
    if read.expires_at <= time.time() - _LEEWAY:
        raise InvalidTokenError
    return read


@lru_cache(_MOST)
def _verified(keys: tuple[bytes, ...], issuer: str, lifetime: int, token: str) -> AccessToken:
    """Verify a token; a signature that held once holds for good."""
    unverified = parse_jws(token)
    key = _key_of(keys, unverified.header)
    import jwt  # as above

    try:
        jwt.decode(
            token, key, algorithms=[_ALGORITHM], audience=issuer, issuer=issuer, leeway=_LEEWAY
        )
    except (jwt.PyJWTError, ValueError, OverflowError, TypeError):
        raise InvalidTokenError from None
    claims = unverified.claims  # those that the signature covers: read once, strictly
    if not _is_ours(claims) or claims["exp"] - claims["iat"] > lifetime:
        raise InvalidTokenError
    sign_in = _sign_in(claims)
    return AccessToken(claims["sub"], _principal(claims, sign_in), sign_in, float(claims["exp"]))


def _key_of(keys: tuple[bytes, ...], header: Mapping[str, Any]) -> bytes:
    """The key that a header names; any other word in a header is none of ours."""
    for key in keys:
        if header == {"alg": _ALGORITHM, "typ": _TYPE, "kid": key_id(key)}:
            return key
    raise InvalidTokenError


def _is_ours(claims: Mapping[str, Any]) -> bool:
    """True if the claims are those that we write, each of its type."""
    return (
        claims.keys() >= _REQUIRED
        and claims.keys() <= _KNOWN
        and all(_is_name(claims[name]) for name in _TEXTS)
        and all(type(claims[name]) is int and 0 <= claims[name] < _LATEST for name in _TIMES)
        and _has_all_or_none(claims, _HINTS)
        and _has_all_or_none(claims, _SIGN_IN)
    )


def _is_name(value: object) -> bool:
    return isinstance(value, str) and value != "" and value.isprintable()


def _has_all_or_none(claims: Mapping[str, Any], typed: Mapping[str, type]) -> bool:
    there = typed.keys() & claims.keys()
    return not there or all(type(claims.get(name)) is kind for name, kind in typed.items())


def _sign_in(claims: Mapping[str, Any]) -> SignIn | None:
    return SignIn(decode_base64url(claims["sid"]), claims["epoch"]) if "sid" in claims else None


def _principal(claims: Mapping[str, Any], sign_in: SignIn | None) -> Principal | None:
    return Principal(claims["uid"], claims["role"], sign_in) if "uid" in claims else None
