"""Other people's tokens: by the keys that their issuer publishes, and by nothing else."""

from collections.abc import Iterator

import pytest

from neonkit.auth import Issuer, IssuerTokens, _issuers
from neonkit.errors import ConfigurationError, InvalidTokenError
from support.forged_tokens import GoodToken, forged
from support.key_server import Issuing, issuing

KEYS = "/keys"
_HARMLESS = ("header without typ", "header without kid")  # there is one key only


@pytest.fixture
def issuer() -> Iterator[Issuing]:
    """An issuer with a key."""
    with issuing() as issuer:
        issuer.add_key("first", "EdDSA", KEYS)
        yield issuer


def reader(issuer: Issuing, longest_life: int = 3600) -> IssuerTokens:
    """Read its tokens."""
    url, keys = issuer.origin, issuer.origin + KEYS
    return IssuerTokens(Issuer(url, url, keys, longest_life=longest_life))


async def is_taken(tokens: IssuerTokens, token: str) -> bool:
    """True if a token is read."""
    try:
        await tokens.read(token)
    except InvalidTokenError:
        return False
    return True


@pytest.mark.parametrize("algorithm", ["EdDSA", "RS256", "ES256"])
async def test_a_token_is_verified_by_its_issuers_key(issuer: Issuing, algorithm: str) -> None:
    """By each algorithm; the keys are fetched once."""
    issuer.add_key("another", algorithm, KEYS)
    tokens = reader(issuer)
    read = [await tokens.read(issuer.token("another", sub=name)) for name in ("ada", "bob")]

    assert [each.subject for each in read] == ["ada", "bob"]
    assert all(each.principal is None for each in read)
    assert issuer.asked == {KEYS: 1}


async def test_no_forged_token_is_taken(issuer: Issuing) -> None:
    """Of more than two thousand none; whatever they name, nothing but the keys is asked for."""
    tokens = reader(issuer)
    private = issuer.keys["first"][1]
    good = GoodToken(
        {"alg": "EdDSA", "typ": "JWT", "kid": "first"},
        issuer.claims(),
        ("iss", "aud", "sub", "iat", "exp"),
        private.sign,
    )
    tried = {token: what for what, token in forged(good) if what not in _HARMLESS}
    tried.pop(good.text, None)

    assert await is_taken(tokens, good.text)
    assert len(tried) >= 2000
    assert [what for token, what in tried.items() if await is_taken(tokens, token)] == []
    assert set(issuer.asked) == {KEYS}
    assert issuer.asked[KEYS] <= 2


async def test_a_key_is_for_one_algorithm(issuer: Issuing) -> None:
    """A public key is no secret to sign with, and a token does not choose how it is verified."""
    issuer.add_key("rsa", "RS256", KEYS)
    issuer.keys["confused"] = ("HS256", b"k" * 32)
    tokens = reader(issuer)

    assert await is_taken(tokens, issuer.token("rsa"))
    issuer.keys["first"] = issuer.keys["rsa"]  # right for another key
    assert not await is_taken(tokens, issuer.token("first"))
    issuer.keys["rsa"] = issuer.keys["confused"]
    assert not await is_taken(tokens, issuer.token("rsa"))


async def test_a_new_key_is_fetched_when_a_token_names_it(
    issuer: Issuing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not more often than every ten seconds, whatever tokens name."""
    tokens = reader(issuer)
    assert await is_taken(tokens, issuer.token("first"))
    issuer.add_key("second", "EdDSA", KEYS)
    for _ in range(20):
        assert not await is_taken(tokens, issuer.token("second"))
    assert issuer.asked[KEYS] == 1
    monkeypatch.setattr(_issuers, "_PAUSE_SECONDS", 0.0)

    assert await is_taken(tokens, issuer.token("second"))
    assert await is_taken(tokens, issuer.token("first"))
    assert issuer.asked[KEYS] == 2


async def test_an_issuer_that_is_away_takes_nothing_along(
    issuer: Issuing, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Keys that are known hold; one that was taken back is gone once the issuer says so."""
    monkeypatch.setattr(_issuers, "_PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(_issuers, "_FRESH_SECONDS", 0.0)
    tokens, token = reader(issuer), issuer.token("first")
    assert await is_taken(tokens, token)
    answers: tuple[object, ...] = (
        None, b"<html>", {"keys": "none"}, {"keys": [{}] * 1000}, b"[" * 300_000,
    )  # fmt: skip
    for broken in answers:
        issuer.published[KEYS] = broken
        assert await is_taken(tokens, token), broken
    issuer.published[KEYS] = {"keys": [7, {"kty": "RSA"}, {"kty": "OKP", "crv": "Ed25519"}]}
    assert not await is_taken(tokens, token)


@pytest.mark.parametrize(
    "changes",
    [{"use": "enc"}, {"alg": "ES256"}, {"d": "AAAA"}, {"kty": "oct"}, {"crv": "Ed448"}, {"x": "A"}],
    ids=str,
)
async def test_keys_that_are_not_for_this(issuer: Issuing, changes: dict[str, str]) -> None:
    """For encryption, for another algorithm, secret, or broken: as if they were not there."""
    issuer.add_key("odd", "EdDSA", KEYS, **changes)
    tokens = reader(issuer)

    assert not await is_taken(tokens, issuer.token("odd"))
    assert await is_taken(tokens, issuer.token("first"))


async def test_a_redirect_is_not_followed(issuer: Issuing) -> None:
    """Keys come from where the app says, over the connection that it names."""
    issuer.published["/moved"] = issuer.origin + KEYS
    tokens = IssuerTokens(Issuer(issuer.origin, issuer.origin, issuer.origin + "/moved"))

    assert not await is_taken(tokens, issuer.token("first"))
    assert issuer.asked == {"/moved": 1}


async def test_an_openid_provider_says_where_its_keys_are(issuer: Issuing) -> None:
    """In its configuration, which must be its own."""
    path = "/.well-known/openid-configuration"
    issuer.published[path] = {"issuer": issuer.origin, "jwks_uri": issuer.origin + KEYS}
    assert await is_taken(IssuerTokens(Issuer(issuer.origin, issuer.origin)), issuer.token("first"))

    for wrong in ({"issuer": "https://else"}, {"jwks_uri": "http://192.0.2.1/keys"}):
        issuer.published[path] = issuer.published[path] | wrong
        tokens = IssuerTokens(Issuer(issuer.origin, issuer.origin))
        assert not await is_taken(tokens, issuer.token("first"))


async def test_claims_are_mapped_by_a_function(issuer: Issuing) -> None:
    """To the subject that the app knows its users by."""
    named = Issuer(
        issuer.origin, issuer.origin, issuer.origin + KEYS, lambda claims: f"x|{claims['email']}"
    )
    token = issuer.token("first", email="ada@example.com")

    assert (await IssuerTokens(named).read(token)).subject == "x|ada@example.com"
    assert not await is_taken(IssuerTokens(named), issuer.token("first"))  # it has no such claim


async def test_a_token_that_holds_for_too_long(issuer: Issuing) -> None:
    """Is refused, whoever signed it."""
    assert await is_taken(reader(issuer, longest_life=900), issuer.token("first"))
    assert not await is_taken(reader(issuer, longest_life=899), issuer.token("first"))


@pytest.mark.parametrize("url", ["http://issuer.example", "ftp://127.0.0.1", "issuer", "https://"])
def test_an_issuer_that_anybody_could_answer_for(url: str) -> None:
    """https, or this machine."""
    with pytest.raises(ConfigurationError, match="https"):
        Issuer(url, "x")
    with pytest.raises(ConfigurationError, match="https"):
        Issuer("https://issuer.example", "x", url)
