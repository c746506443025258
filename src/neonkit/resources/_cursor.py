"""Cursors: where a page ended, as a signed string that only the same query accepts."""

import hmac
import json
from base64 import b64decode, b64encode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum
from secrets import token_bytes
from typing import Any, Self
from uuid import UUID

from neonkit.errors import ConfigurationError, InvalidCursorError

_MAC_BYTES = 16
_SHORTEST_KEY = 16
_LONGEST_TOKEN = 8192
_JSON = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"))
_PURPOSE = b"neonkit.cursor.1\0"

_MICROSECOND = timedelta(microseconds=1)

KeyValue = (
    None
    | bool
    | int
    | float
    | str
    | bytes
    | datetime
    | date
    | time
    | timedelta
    | Decimal
    | UUID
    | Enum
)

_CODECS: dict[str, tuple[type, Callable[[Any], str], Callable[[str], KeyValue]]] = {
    "datetime": (datetime, datetime.isoformat, datetime.fromisoformat),  # it is a date too
    "date": (date, date.isoformat, date.fromisoformat),
    "time": (time, time.isoformat, time.fromisoformat),
    "decimal": (Decimal, str, Decimal),
    "uuid": (UUID, str, UUID),
    "bytes": (bytes, lambda value: b64encode(value).decode(), b64decode),
    "interval": (
        timedelta,
        lambda value: str(value // _MICROSECOND),
        lambda text: int(text) * _MICROSECOND,
    ),
}


@dataclass(frozen=True, repr=False)
class CursorPolicy:
    """The keys that sign cursors.

    Attributes:
        keys: the first signs, all of them verify: put a new one in front, and drop the old one
            when no list is being read with its cursors any more. At least 16 bytes each. They may
            be shared with other purposes; what is signed says that it is a cursor.
    """

    keys: tuple[bytes, ...]

    def __post_init__(self) -> None:
        if not self.keys or any(len(key) < _SHORTEST_KEY for key in self.keys):
            raise ConfigurationError(
                f"cursors need at least one key, each of {_SHORTEST_KEY} bytes or more"
            )

    def __repr__(self) -> str:
        return f"CursorPolicy(keys=<{len(self.keys)} hidden>)"

    @classmethod
    def random(cls) -> Self:
        """A key that lives as long as this object: other processes refuse its cursors."""
        return cls((token_bytes(32),))

    def sign(self, payload: bytes, query: bytes) -> bytes:
        """The code that proves that `payload` was made here, for `query`."""
        return _mac(self.keys[0], payload, query)

    def is_signed(self, mac: bytes, payload: bytes, query: bytes) -> bool:
        """True where any of the keys made `mac`."""
        return any(hmac.compare_digest(mac, _mac(key, payload, query)) for key in self.keys)


def encode_cursor(values: Sequence[object], query: bytes, policy: CursorPolicy) -> str:
    """Write the last row's sort keys as a URL-safe string.

    Signed, not encrypted: whoever decodes it sees the values, by which the list is ordered anyway.

    Args:
        values: one for each sort key.
        query: the fingerprint of the query that they came from.
        policy: the keys.

    Raises:
        TypeError: a value of a type that has no place in a cursor.
    """
    written = [_write(value) for value in values]
    payload = _JSON.encode(written).encode("utf-8", "surrogatepass")
    return urlsafe_b64encode(policy.sign(payload, query) + payload).decode().rstrip("=")


def decode_cursor(
    token: str, query: bytes, policy: CursorPolicy, types: Sequence[type]
) -> list[KeyValue]:
    """The values that `encode_cursor` wrote.

    Args:
        token: what the client sent.
        query: the fingerprint of the query that it was sent with.
        policy: the keys.
        types: the Python type of each sort key, which says what the name of an enum's member means.

    Raises:
        InvalidCursorError: not ours, changed on the way, or of another query.
    """
    signed = _bytes_of(token)
    mac, payload = signed[:_MAC_BYTES], signed[_MAC_BYTES:]
    if not policy.is_signed(mac, payload, query):
        raise InvalidCursorError
    written = json.loads(payload.decode("utf-8", "surrogatepass"))
    try:
        return [_read(value, kind) for value, kind in zip(written, types, strict=True)]
    except (KeyError, ValueError) as error:  # signed by another release: an enum lost a member
        raise InvalidCursorError from error


def _mac(key: bytes, payload: bytes, query: bytes) -> bytes:
    lengths = b"%d\0" % len(query)
    return hmac.digest(key, _PURPOSE + lengths + query + payload, "sha256")[:_MAC_BYTES]


def _bytes_of(token: str) -> bytes:
    try:
        signed = b64decode(token + "=" * (-len(token) % 4), b"-_", validate=True)
    except ValueError:
        signed = b""
    is_canonical = urlsafe_b64encode(signed).decode().rstrip("=") == token
    if not is_canonical or not _MAC_BYTES < len(token) <= _LONGEST_TOKEN:
        raise InvalidCursorError
    return signed


def _write(value: object) -> object:
    if isinstance(value, Enum):
        return ["enum", value.name]
    if value is None or isinstance(value, bool | int | float | str):
        return value
    for tag, (kind, write, _) in _CODECS.items():
        if isinstance(value, kind):
            return [tag, write(value)]
    raise TypeError(f"a list cannot be continued after a {type(value).__name__} sort key")


def _read(written: object, kind: type) -> KeyValue:
    match written:
        case ["enum", str(name)] if issubclass(kind, Enum):
            return kind[name]
        case [str(tag), str(text)]:
            _, _, read = _CODECS[tag]
            return read(text)
        case None | bool() | int() | float() | str():
            return written
        case _:
            raise ValueError("not a value of a cursor")
