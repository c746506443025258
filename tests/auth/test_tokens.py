"""Access tokens: read by one fixed rule, whatever they say of themselves."""

import time
from typing import Any

import jwt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from neonkit.auth import (
    AccessToken,
    Principal,
    TokenPolicy,
    issue_access_token,
    read_access_token,
)
from neonkit.auth._tokens import key_id
from neonkit.errors import InvalidTokenError

KEY = b"k" * 64
POLICY = TokenPolicy((KEY,))


def _claims(**changes: object) -> dict[str, object]:
    now = int(time.time())
    claims: dict[str, object] = {
        "iss": "neonkit",
        "aud": "neonkit",
        "sub": "7",
        "iat": now,
        "exp": now + 60,
        "jti": "x",
    }
    claims.update(changes)
    return {name: value for name, value in claims.items() if value is not None}


def _token(key: bytes = KEY, typ: str = "at+jwt", **changes: object) -> str:
    headers = {"typ": typ, "kid": key_id(key)}
    return jwt.encode(_claims(**changes), key, "HS256", headers=headers)


def test_a_token_says_who_its_bearer_is() -> None:
    """What was issued reads back, and holds nothing of what its bearer may do."""
    token = issue_access_token(POLICY, "7")

    assert read_access_token(POLICY, token) == AccessToken("7")
    claims: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    assert set(claims) == {"iss", "aud", "sub", "iat", "exp", "jti"}
    assert "k" * 64 not in repr(POLICY)


def test_a_token_may_hint_at_who_its_bearer_was() -> None:
    """Id and role read back; a half of it, or one of another type, was not made here."""
    ada = Principal(7, "admin")

    assert read_access_token(POLICY, issue_access_token(POLICY, "7", ada)).principal == ada
    for half in (_token(uid="7", role="admin"), _token(uid=7)):
        with pytest.raises(InvalidTokenError):
            read_access_token(POLICY, half)


@pytest.mark.parametrize(
    ("claims", "is_read"),
    [
        ({"iat": 0, "exp": 900}, True),
        ({"iat": 0, "exp": 901}, False),
        ({"iat": -3 * 365 * 86_400, "exp": 60}, False),
        ({"iat": 0, "exp": 3 * 365 * 86_400}, False),
        ({"iat": 0, "exp": 60.5}, False),
        ({"iat": 0.5, "exp": 60}, False),
        ({"iat": "0", "exp": 60}, False),
        ({"iat": True, "exp": 60}, False),
    ],
)
def test_no_token_lives_longer_than_those_that_are_made(
    claims: dict[str, Any], *, is_read: bool
) -> None:
    """Whoever has a key that still verifies cannot make one that outlives it by years."""
    now = int(time.time())
    given: dict[str, Any] = {
        name: now + value if type(value) in {int, float} else value
        for name, value in claims.items()
    }
    token = _token(KEY, "at+jwt", **given)

    if is_read:
        assert read_access_token(POLICY, token).subject == "7"
    else:
        with pytest.raises(InvalidTokenError):
            read_access_token(POLICY, token)


def test_a_shorter_lifetime_ends_longer_tokens() -> None:
    """A token that was read under a longer one is refused from then on."""
    token = issue_access_token(POLICY, "7")

    assert read_access_token(POLICY, token).subject == "7"
    with pytest.raises(InvalidTokenError):
        read_access_token(TokenPolicy((KEY,), lifetime=60), token)


def test_a_token_that_was_read_before_expires_all_the_same() -> None:
    """That its signature held is remembered; the time is looked at each time."""
    token = _token(exp=int(time.time()) - 3)  # two seconds of the five that clocks may differ

    assert read_access_token(POLICY, token).subject == "7"
    assert read_access_token(POLICY, token).subject == "7"
    time.sleep(2.1)
    with pytest.raises(InvalidTokenError):
        read_access_token(POLICY, token)


def test_a_token_that_was_read_before_ends_with_its_key() -> None:
    """What another policy has verified counts for nothing here."""
    token = issue_access_token(POLICY, "7")
    read_access_token(POLICY, token)

    for other in (TokenPolicy((b"n" * 64,)), TokenPolicy((KEY,), issuer="somebody")):
        with pytest.raises(InvalidTokenError):
            read_access_token(other, token)


def test_a_previous_key_verifies_and_never_signs() -> None:
    """A key can be replaced while its tokens live."""
    new = TokenPolicy((b"n" * 64, KEY))

    assert read_access_token(new, issue_access_token(POLICY, "7")).subject == "7"
    with pytest.raises(InvalidTokenError):
        read_access_token(POLICY, issue_access_token(new, "7"))


@pytest.mark.parametrize(
    "token",
    [
        "",
        "a.b.c",
        "é",
        "\0",
        "a" * 10_000,
        jwt.encode(_claims(), "", "none", headers={"typ": "at+jwt"}),
        _token(b"o" * 64),
        _token(typ="JWT"),
        _token(iss="other"),
        _token(aud="other"),
        _token(exp=int(time.time()) - 6),
        _token(nbf=int(time.time()) + 60),
        _token(exp=None),
        _token(exp="soon"),
        _token(exp=10**20 * -1),
        _token(sub=None),
        _token(jti=None),
        _token(iat=None),
        jwt.encode(_claims(), KEY, "HS512", headers={"typ": "at+jwt", "kid": key_id(KEY)}),
        jwt.encode(_claims(), KEY, "HS256", headers={"typ": "at+jwt"}),
    ],
)
def test_what_is_refused(token: str) -> None:
    """Another algorithm, key, type, issuer or time, or a claim that is missing: all the same."""
    with pytest.raises(InvalidTokenError):
        read_access_token(POLICY, token)


@given(st.text(max_size=200))
def test_any_text_is_refused_and_nothing_else_happens(text: str) -> None:
    """No text makes it raise anything but the one error."""
    with pytest.raises(InvalidTokenError):
        read_access_token(POLICY, text)
