"""Other people's tokens: verified by the keys that their issuer publishes (RFC 7517).

The issuer is one of those that the app names, and the keys' address comes from it: no token says
where to look. A key says which algorithm it is for; a token only which key.
"""

import asyncio
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Self
from urllib.parse import urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from neonkit.auth._jws import Jws, parse_jws
from neonkit.auth._tokens import AccessToken
from neonkit.errors import ConfigurationError, InvalidTokenError

Claims = Mapping[str, Any]

_ALGORITHMS: Final[Mapping[tuple[object, object], str]] = {
    ("OKP", "Ed25519"): "EdDSA",
    ("RSA", None): "RS256",
    ("EC", "P-256"): "ES256",
}
_TYPES = {"jwt", "at+jwt", "application/at+jwt"}
_LONGEST_TOKEN = 16_384
_LONGEST_DOCUMENT = 262_144
_LONGEST_KID = 256
_MOST_KEYS = 64
_WEAKEST_RSA = 2048
_LEEWAY = 5
_FETCH_SECONDS = 5.0
_FRESH_SECONDS = 600.0
_USABLE_SECONDS = 86_400.0
_PAUSE_SECONDS = 10.0
_WITHOUT_CRYPTOGRAPHY = (
    "tokens of {url} are verified with the package cryptography: pip install 'neonkit[issuers]'"
)


def subject_claim(claims: Claims) -> str:
    """The claim `sub`, as it stands."""
    subject: str = claims["sub"]
    return subject


@dataclass(frozen=True)
class Issuer:
    """Somebody whose tokens are taken.

    Args:
        url: the `iss` of its tokens, to the letter.
        audience: who its tokens are for; one of their `aud` must be it.
        keys_url: where it publishes its keys; by default what its OpenID configuration says.
        subject: maps the claims of a token to the subject that `install(principal=…)` finds. Two
            issuers may name two people alike: where there are several, or tokens of the app's own
            too, let it tell them apart.
        longest_life: seconds from when a token was made to when it expires, at most.
    """

    url: str
    audience: str
    keys_url: str | None = None
    subject: Callable[[Claims], str] = field(default=subject_claim, repr=False)
    longest_life: int = 86_400

    def __post_init__(self) -> None:
        for url in (self.url, self.keys_url):
            if url is not None:
                check_issuer_url(url)

    @classmethod
    def neon_auth(cls, base_url: str, subject: Callable[[Claims], str] = subject_claim) -> Self:
        """Neon Auth, by the address that Neon's console shows: NEON_AUTH_BASE_URL."""
        parts = urlsplit(base_url)
        origin = f"{parts.scheme}://{parts.netloc}"
        return cls(origin, origin, f"{base_url.rstrip('/')}/.well-known/jwks.json", subject)


def check_issuer_url(url: str) -> None:
    """Refuse an address that anybody on the way could answer for.

    Raises:
        ConfigurationError: it is neither https, nor http at this machine's loopback.
    """
    parts = urlsplit(url)
    is_loopback = parts.hostname in {"127.0.0.1", "::1", "localhost"}
    if not parts.hostname or not (
        parts.scheme == "https" or (parts.scheme == "http" and is_loopback)
    ):
        raise ConfigurationError(f"{url!r} must begin with https:// (http:// only at loopback)")


@dataclass(frozen=True)
class _Key:
    """A public key, and the one algorithm that it verifies."""

    algorithm: str
    public: Any = field(repr=False)


class IssuerTokens:
    """Reads the tokens of one issuer; its keys are fetched when they are first wanted, and kept.

    They are fetched again after ten minutes, or when a token names a key that is not among them,
    at most every ten seconds. While the issuer does not answer, the known ones hold for a day.

    Args:
        issuer: whose.

    Raises:
        ConfigurationError: the package that verifies them is not installed.
    """

    def __init__(self, issuer: Issuer) -> None:
        from jwt.algorithms import has_crypto  # an app without issuers is spared cryptography

        if not has_crypto:
            raise ConfigurationError(_WITHOUT_CRYPTOGRAPHY.format(url=issuer.url))
        self.issuer = issuer
        self._keys: Mapping[str | None, _Key] = {}
        self._fetched = self._asked = float("-inf")
        self._fetching: asyncio.Task[None] | None = None

    async def read(self, token: str) -> AccessToken:
        """Give what a valid token says.

        Raises:
            InvalidTokenError: for any reason, without saying which.
        """
        jws = parse_jws(token, _LONGEST_TOKEN)
        kid = _kid_of(jws)
        age = time.monotonic() - self._fetched
        if kid not in self._keys or age > _FRESH_SECONDS:
            await self._refresh()
        return self.read_known(token)

    def read_known(self, token: str) -> AccessToken:
        """The same by the keys that are known already.

        Raises:
            InvalidTokenError: for any reason, without saying which.
        """
        jws = parse_jws(token, _LONGEST_TOKEN)
        key = self._keys.get(_kid_of(jws))
        if key is None or time.monotonic() - self._fetched > _USABLE_SECONDS:
            raise InvalidTokenError
        if jws.header["alg"] != key.algorithm:
            raise InvalidTokenError
        import jwt  # as above

        try:
            jwt.decode(
                token,
                key.public,
                algorithms=[key.algorithm],
                audience=self.issuer.audience,
                issuer=self.issuer.url,
                leeway=_LEEWAY,
                options={"require": ["iss", "aud", "sub", "iat", "exp"]},
            )
            return self._understood(jws.claims)
        except (jwt.PyJWTError, ValueError, OverflowError, TypeError, KeyError):
            raise InvalidTokenError from None

    def _understood(self, claims: Claims) -> AccessToken:
        times = [claims[name] for name in ("iat", "exp", "nbf") if name in claims]
        if any(type(each) is not int or each < 0 for each in times):
            raise InvalidTokenError
        subject = claims["sub"]
        if not isinstance(subject, str) or not subject or not subject.isprintable():
            raise InvalidTokenError
        if claims["exp"] - claims["iat"] > self.issuer.longest_life:
            raise InvalidTokenError
        return AccessToken(self.issuer.subject(claims), expires_at=float(claims["exp"]))

    async def _refresh(self) -> None:
        """Fetch the keys, once for all who wait; those that are known stay where that fails."""
        if self._fetching is None:
            if time.monotonic() - self._asked < _PAUSE_SECONDS:
                return
            self._asked = time.monotonic()
            self._fetching = asyncio.create_task(self._fetch())
        await asyncio.shield(self._fetching)

    async def _fetch(self) -> None:
        try:
            keys = await asyncio.to_thread(_published_keys, self.issuer)
        except (OSError, ValueError, LookupError, TypeError, RecursionError):
            return
        else:
            self._keys, self._fetched = keys, time.monotonic()
        finally:
            self._fetching = None


def issuer_of(token: str) -> str | None:
    """Whom a token says that it comes from, unverified; `None` where it says nothing.

    Raises:
        InvalidTokenError: it is no token.
    """
    claimed = parse_jws(token, _LONGEST_TOKEN).claims.get("iss")
    return claimed if isinstance(claimed, str) else None


def _kid_of(jws: Jws) -> str | None:
    """The key that a token names, of a header that says nothing that we do not understand.

    Raises:
        InvalidTokenError: it says something else.
    """
    header = jws.header
    kid, kind = header.get("kid"), header.get("typ", "JWT")
    if header.get("alg") not in _ALGORITHMS.values() or "crit" in header or "b64" in header:
        raise InvalidTokenError
    if not isinstance(kind, str) or kind.lower() not in _TYPES:
        raise InvalidTokenError
    if kid is not None and (not isinstance(kid, str) or not 0 < len(kid) <= _LONGEST_KID):
        raise InvalidTokenError
    return kid


class _Unredirected(HTTPRedirectHandler):
    """Goes nowhere but where it was sent."""

    def redirect_request(self, *_: Any, **__: Any) -> None:
        """Follow none."""


def _published_keys(issuer: Issuer) -> Mapping[str | None, _Key]:
    """Fetch an issuer's keys; blocks, so call it in a thread.

    A token that names no key gets the only one, if there is one only.
    """
    url = issuer.keys_url or _configured_keys(issuer)
    published = _document(url)["keys"]
    if not isinstance(published, list) or len(published) > _MOST_KEYS:
        raise ValueError("no list of keys, or too long a one")
    found = [(each.get("kid"), _key(each)) for each in published if isinstance(each, dict)]
    keys = {kid: key for kid, key in found if key is not None}
    if len(keys) == 1:
        keys[None] = next(iter(keys.values()))
    return keys


def _configured_keys(issuer: Issuer) -> str:
    configuration = _document(f"{issuer.url.rstrip('/')}/.well-known/openid-configuration")
    if configuration["issuer"] != issuer.url:
        raise ValueError("the configuration is another issuer's")
    url = str(configuration["jwks_uri"])
    check_issuer_url(url)
    return url


def _document(url: str) -> dict[str, Any]:
    asking = Request(url, headers={"Accept": "application/json"})  # noqa: S310  # checked: https, or loopback
    with build_opener(_Unredirected).open(asking, timeout=_FETCH_SECONDS) as answer:
        content = answer.read(_LONGEST_DOCUMENT + 1)
    read = json.loads(content)
    if len(content) > _LONGEST_DOCUMENT or not isinstance(read, dict):
        raise ValueError("no JSON object, or too long a one")
    return read


def _key(published: Mapping[str, Any]) -> _Key | None:
    """Read a key; `None` where it is none of ours to use."""
    kind = published.get("kty"), published.get("crv")
    algorithm = _ALGORITHMS.get(kind)
    is_signing = published.get("use", "sig") == "sig" and "d" not in published
    if algorithm is None or not is_signing or published.get("alg", algorithm) != algorithm:
        return None
    import jwt  # as above

    try:
        public = jwt.PyJWK.from_dict(dict(published), algorithm).key
    except (jwt.PyJWTError, ValueError, TypeError):
        return None
    if algorithm == "RS256" and public.key_size < _WEAKEST_RSA:
        return None
    return _Key(algorithm, public)
