"""Signed tokens (JWS, RFC 7515) taken apart strictly, before any signature is looked at.

A signature covers bytes, and two readers of the same bytes may read two things: so there is one
spelling of each token, and one meaning of each claim.
"""

import json
import re
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from neonkit.errors import InvalidTokenError

_LONGEST = 4096
_FORM = re.compile(r"[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+\.[A-Za-z0-9_-]+", re.ASCII)


@dataclass(frozen=True)
class Jws:
    """A token's parts; nobody has verified them.

    Attributes:
        header: says how it was signed.
        claims: what it says.
    """

    header: Mapping[str, Any]
    claims: Mapping[str, Any]


def parse_jws(token: str, longest: int = _LONGEST) -> Jws:
    """Take a token apart.

    Args:
        token: as it came.
        longest: characters; ours have a few hundred.

    Raises:
        InvalidTokenError: it is longer; not three parts of base64url in their
            one spelling; or header or claims are no JSON object in UTF-8, each name once.
    """
    if len(token) > longest or not _FORM.fullmatch(token):
        raise InvalidTokenError
    header, claims, signature = token.split(".")
    decode_base64url(signature)
    return Jws(_json_object(header), _json_object(claims))


def decode_base64url(text: str) -> bytes:
    """Decode base64url without padding.

    Raises:
        InvalidTokenError: it is another spelling of these bytes.
    """
    try:
        data = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise InvalidTokenError from None
    if encode_base64url(data) != text:
        raise InvalidTokenError
    return data


def encode_base64url(data: bytes) -> str:
    """Encode as base64url without padding."""
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _json_object(part: str) -> dict[str, Any]:
    try:
        read = json.loads(
            decode_base64url(part).decode("utf-8"),
            object_pairs_hook=_each_once,
            parse_constant=_refuse,
        )
    except (ValueError, RecursionError):
        raise InvalidTokenError from None
    if not isinstance(read, dict):
        raise InvalidTokenError
    return read


def _each_once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    read = dict(pairs)
    if len(read) < len(pairs):
        raise InvalidTokenError
    return read


def _refuse(_: str) -> None:
    raise InvalidTokenError
