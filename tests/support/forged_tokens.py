"""Tokens that must not be taken: a good one, changed in every way that there is."""

import json
from base64 import urlsafe_b64encode
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

Sign = Callable[[bytes], bytes]

_ODD: tuple[object, ...] = (
    None, True, False, 0, 1, -1, 2**63, 10**20, 1.5, "", "1", "x", "\0", [], ["x"], {}, {"a": 1},
)  # fmt: skip
_NO_ALGORITHMS: tuple[object, ...] = (
    "none",
    "None",
    "NONE",
    "nOnE",
    "",
    None,
    0,
    [],
    ["HS256"],
    "hs256",
    "HS256 ",
)
_OTHER_ALGORITHMS = ("HS384", "HS512", "RS256", "RS512", "PS256", "ES256", "ES384", "EdDSA")
_STEERING: dict[str, object] = {
    "jku": "http://127.0.0.1:1/keys",
    "x5u": "http://127.0.0.1:1/cert",
    "jwk": {"kty": "oct", "k": "AAAA"},
    "x5c": ["AAAA"],
    "crit": ["exp"],
    "b64": False,
    "zip": "DEF",
    "cty": "JWT",
}
_KIDS = ("", "../../etc/passwd", "' OR 1=1 --", "/dev/null", "x" * 10_000, 7, None, ["x"], {"a": 1})


def encoded(data: bytes) -> str:
    """Base64url, as RFC 7515 has it."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def written(value: object) -> bytes:
    """JSON without blanks."""
    return json.dumps(value, separators=(",", ":")).encode()


@dataclass(frozen=True)
class GoodToken:
    """A token that is taken.

    Attributes:
        header: of it.
        claims: of it.
        required: the claims that it must have.
        sign: makes the signature of anything, by the right key.
    """

    header: dict[str, Any]
    claims: dict[str, Any]
    required: tuple[str, ...]
    sign: Sign

    @property
    def text(self) -> str:
        """The token itself."""
        return self.of(written(self.header), written(self.claims))

    def of(self, header: bytes, claims: bytes, signature: bytes | None = None) -> str:
        """A token of these bytes, signed by the right key where no signature is given."""
        said = f"{encoded(header)}.{encoded(claims)}"
        made = self.sign(said.encode()) if signature is None else signature
        return f"{said}.{encoded(made)}"


def forged(good: GoodToken) -> Iterator[tuple[str, str]]:
    """What was done to it, and the token."""
    yield from _by_algorithm(good)
    yield from _by_header(good)
    yield from _by_claims(good)
    yield from _by_signature(good)
    yield from _by_spelling(good)


def _by_algorithm(good: GoodToken) -> Iterator[tuple[str, str]]:
    claims = written(good.claims)
    for algorithm in (*_NO_ALGORITHMS, *_OTHER_ALGORITHMS):
        header = written({**good.header, "alg": algorithm})
        for signature in (None, b"", b"\0" * 32, b"x" * 64):
            yield f"alg {algorithm!r}", good.of(header, claims, signature)


def _by_header(good: GoodToken) -> Iterator[tuple[str, str]]:
    claims = written(good.claims)
    for name in good.header:
        rest = {other: value for other, value in good.header.items() if other != name}
        yield f"header without {name}", good.of(written(rest), claims)
        for value in _ODD:
            yield f"header {name}={value!r}", good.of(written({**rest, name: value}), claims)
        twice = written(good.header)[:-1] + b"," + written({name: good.header[name]})[1:]
        yield f"header {name} twice", good.of(twice, claims)
    for name, value in _STEERING.items():
        header = written({**good.header, name: value})
        yield f"header {name}, not signed", good.of(header, claims, b"x" * 32)
    for kid in _KIDS:
        yield f"kid {str(kid)[:20]!r}", good.of(written({**good.header, "kid": kid}), claims)
    for text in (b"", b"[]", b"null", b"7", b'"x"', b"{", b"{}", b"[" * 2000, b"\xff{}", b"{}{}"):
        yield f"header {text[:9]!r}", good.of(text, claims)
    yield "header in UTF-16", good.of(json.dumps(good.header).encode("utf-16"), claims)


def _by_claims(good: GoodToken) -> Iterator[tuple[str, str]]:
    header = written(good.header)
    for name in good.required:
        rest = {other: value for other, value in good.claims.items() if other != name}
        yield f"without {name}", good.of(header, written(rest))
        for value in _ODD:
            if not _is_like(value, good.claims[name]):
                yield f"{name}={value!r}", good.of(header, written({**rest, name: value}))
        for first in (good.claims[name], "x", 1):
            pair = written({name: first})[1:-1]
            twice = b"{" + pair + b"," + written(good.claims)[1:]
            yield f"{name} twice", good.of(header, twice)
    for text in (b"", b"[]", b"null", b"7", b'"x"', b"{", b"{}", b"[" * 2000, b"\xff{}", b"{}{}"):
        yield f"claims {text[:9]!r}", good.of(header, text)
    for coding in ("utf-16", "utf-32", "utf-16-le", "utf-8-sig"):
        yield f"claims in {coding}", good.of(header, json.dumps(good.claims).encode(coding))
    for constant in (b"NaN", b"Infinity", b"-Infinity"):
        changed = written({**good.claims, "exp": 0}).replace(b'"exp":0', b'"exp":' + constant)
        yield f"exp {constant!r}", good.of(header, changed)


def _is_like(value: object, right: object) -> bool:
    """True for another text in the place of a text: a subject may be any, an issuer may not."""
    return type(value) is type(right) is str and value not in {"", "\0"}


def _by_signature(good: GoodToken) -> Iterator[tuple[str, str]]:
    header, claims = written(good.header), written(good.claims)
    right = good.sign(f"{encoded(header)}.{encoded(claims)}".encode())
    for bit in range(len(right) * 8):
        changed = bytearray(right)
        changed[bit // 8] ^= 1 << bit % 8
        yield f"signature, bit {bit}", good.of(header, claims, bytes(changed))
    for length in range(len(right)):
        yield f"signature of {length} bytes", good.of(header, claims, right[:length])
    yield "signature twice", good.of(header, claims, right * 2)
    more = written({**good.claims, "role": "admin", "uid": 1})
    yield "other claims under the same signature", good.of(header, more, right)


def _by_spelling(good: GoodToken) -> Iterator[tuple[str, str]]:
    token = good.text
    for at, letter in enumerate(token):
        for other in {"A", "b", "_", ".", "="} - {letter}:
            yield f"{other!r} at {at}", token[:at] + other + token[at + 1 :]
        for more in (" ", "\n", "=", "\0", "\u00e9", "%41"):
            yield f"{more!r} before {at}", token[:at] + more + token[at:]
        yield f"nothing at {at}", token[:at] + token[at + 1 :]
    header, claims, signature = token.split(".")
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    for part, others in ((header, (claims, signature)), (signature, (header, claims))):
        for letter in letters:  # the last one has bits that stand for nothing
            if letter != part[-1]:
                changed = token.replace(part, part[:-1] + letter)
                yield f"{letter!r} last", changed
        assert all(part != other for other in others)
    for text in (
        token + ".", "." + token, token + "." + signature, header, f"{header}.{claims}",
        f"{header}.{claims}.", f"..{signature}", token * 2, token + "=" * 4, token.upper(),
        token.lower(), token[::-1], "", ".", "..", "...", "Bearer " + token, "x" * 1_000_000,
    ):  # fmt: skip
        yield f"spelt {text[:12]!r}, {len(text)}", text
