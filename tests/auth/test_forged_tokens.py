"""Forged access tokens: a good one, changed in every way that there is."""

import hmac
import time

import pytest

from neonkit.auth import TokenPolicy, issue_access_token, read_access_token
from neonkit.auth._refresh_tokens import RefreshToken, write_refresh_token
from neonkit.auth._tokens import key_id
from neonkit.errors import InvalidTokenError
from neonkit.resources._cursor import CursorPolicy, encode_cursor
from support.forged_tokens import GoodToken, forged

KEY = b"k" * 64
POLICY = TokenPolicy((KEY, b"p" * 64))


def _good() -> GoodToken:
    now = int(time.time())
    claims = {
        "iss": "neonkit",
        "aud": "neonkit",
        "sub": "7",
        "iat": now,
        "exp": now + 60,
        "jti": "x",
    }
    return GoodToken(
        {"alg": "HS256", "typ": "at+jwt", "kid": key_id(KEY)},
        claims,
        tuple(claims),
        lambda said: hmac.digest(KEY, said, "sha256"),
    )


def _is_taken(token: str) -> bool:
    try:
        read_access_token(POLICY, token)
    except InvalidTokenError:
        return False
    return True


def test_no_forged_token_is_taken() -> None:
    """Of more than two thousand, most of them signed by the right key, none; the good one is."""
    good = _good()
    tokens = {token: what for what, token in forged(good) if token != good.text}

    assert _is_taken(good.text)
    assert len(tokens) >= 2000
    assert [what for token, what in tokens.items() if _is_taken(token)] == []


@pytest.mark.parametrize("claim", ["admin", "scope", "nbf", "cnf", "amr"])
def test_a_claim_that_is_none_of_ours(claim: str) -> None:
    """Whoever signs with our key for another purpose makes no access tokens by the way."""
    good = _good()
    claims = {**good.claims, claim: 1}
    token = GoodToken(good.header, claims, (), good.sign).text

    assert not _is_taken(token)


def test_what_the_same_keys_sign_for_other_purposes() -> None:
    """A refresh token and a cursor are no access tokens."""
    refresh = RefreshToken.first("7", 0, int(time.time()) + 60)
    cursor = encode_cursor([7], b"a query", CursorPolicy((KEY,)))

    assert not _is_taken(write_refresh_token(POLICY, refresh))
    assert not _is_taken(cursor)


def test_a_key_is_named_and_not_told() -> None:
    """Each key has a name of its own, in the header of what it signs, and is replaced by it."""
    old, new = TokenPolicy((b"o" * 64,)), TokenPolicy((b"n" * 64, b"o" * 64))
    token = issue_access_token(old, "7")

    assert read_access_token(new, token).subject == "7"
    assert key_id(b"o" * 64) != key_id(b"n" * 64)
    other = GoodToken(
        {"alg": "HS256", "typ": "at+jwt", "kid": key_id(b"p" * 64)},
        _good().claims,
        (),
        _good().sign,
    )
    assert not _is_taken(other.text)  # signed by one of ours, named as another
