"""Refresh tokens: derived from a sign-in's secret and a generation, so that nobody need keep them.

A token is its sign-in's secret, what it says, and an HMAC of both. At rest is a hash of the secret
alone: the table of sign-ins lets nobody in, with the signing key or without.
"""

import hashlib
import hmac
import struct
import time
from dataclasses import dataclass, field, replace
from secrets import token_bytes
from typing import Self

from neonkit.auth._jws import decode_base64url, encode_base64url
from neonkit.auth._principals import SignIn
from neonkit.auth._tokens import TokenPolicy
from neonkit.errors import InvalidTokenError

_PURPOSE = b"neonkit.refresh.1\0"  # no other token, cursor or fingerprint begins with it
_SERIAL = b"neonkit.serial.1\0"
_HEAD = struct.Struct(">16sIIQ")
_MAC = 32
_LONGEST = 1024
_MOST = 2**31 - 2  # generations


@dataclass(frozen=True)
class RefreshToken:
    """What a refresh token says.

    Attributes:
        secret: of its sign-in: 16 random bytes.
        subject: whose it is.
        epoch: how often they had ended all sign-ins when this one began.
        generation: how often it was renewed before.
        expires_at: until when it holds, in seconds since 1970.
    """

    secret: bytes = field(repr=False)
    subject: str
    epoch: int
    generation: int
    expires_at: int

    @classmethod
    def first(cls, subject: str, epoch: int, expires_at: int) -> Self:
        """The one that a new sign-in begins with."""
        return cls(token_bytes(16), subject, epoch, 0, expires_at)

    def renewed(self, generation: int, expires_at: int) -> Self:
        """The same sign-in's token of another generation."""
        return replace(self, generation=generation, expires_at=expires_at)

    @property
    def sign_in(self) -> SignIn:
        """Its sign-in, as tables and access tokens know it."""
        return SignIn(hashlib.sha256(_PURPOSE + self.secret).digest()[:16], self.epoch)

    def serial(self, policy: TokenPolicy) -> str:
        """The `jti` of the access token that goes with it."""
        said = _SERIAL + self.sign_in.id + self.generation.to_bytes(4, "big")
        return encode_base64url(hmac.digest(policy.keys[0], said, "sha256")[:12])


def write_refresh_token(policy: TokenPolicy, token: RefreshToken) -> str:
    """Sign a refresh token; the same of the same is the same text."""
    head = _HEAD.pack(token.secret, token.epoch, token.generation, token.expires_at)
    said = head + token.subject.encode()
    return encode_base64url(said + hmac.digest(policy.keys[0], _PURPOSE + said, "sha256"))


def read_refresh_token(policy: TokenPolicy, text: str) -> RefreshToken:
    """Give what a refresh token says; whether its sign-in has ended, only the database knows.

    Raises:
        InvalidTokenError: it was not made here, or it has expired.
    """
    if len(text) > _LONGEST or not text.isascii():
        raise InvalidTokenError
    data = decode_base64url(text)
    said, mac = data[:-_MAC], data[-_MAC:]
    macs = [hmac.digest(key, _PURPOSE + said, "sha256") for key in policy.keys]
    if len(said) <= _HEAD.size or not any(hmac.compare_digest(mac, each) for each in macs):
        raise InvalidTokenError
    secret, epoch, generation, expires_at = _HEAD.unpack_from(said)
    if generation > _MOST or expires_at <= time.time():
        raise InvalidTokenError
    return RefreshToken(secret, said[_HEAD.size :].decode(), epoch, generation, expires_at)
