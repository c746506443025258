"""Security headers: how browsers are to treat a response."""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import TypeAlias

Header: TypeAlias = tuple[bytes, bytes]

_ALWAYS = (
    (b"x-content-type-options", b"nosniff"),
    (b"referrer-policy", b"no-referrer"),
)
_STRICT = (
    (b"x-frame-options", b"DENY"),
    (b"content-security-policy", b"default-src 'none'; frame-ancestors 'none'"),
)
_PERSONAL = (b"cache-control", b"no-store")
_PERSONAL_WITH_TAG = (b"cache-control", b"private, no-cache")
_DATA = {b"", b"application/json", b"text/plain"}
_HSTS = (b"strict-transport-security", b"max-age=31536000; includeSubDomains")


class SecurityHeaders:
    """The headers that a response gets, where it has none of that name.

    What a browser would render is the app's to protect: pages, styles, scripts and images would
    lose each other under the strict policy. So only JSON, problem documents, plain text and empty
    answers get `Content-Security-Policy` and `X-Frame-Options`, and no mounted app's do.

    What is answered to somebody in person is in no cache but, with an `ETag`, their own, which asks
    again each time (RFC 9111).

    Args:
        is_sent: `False` leaves all of them out.
        has_hsts: whether browsers are told to use TLS from now on.
    """

    def __init__(self, *, is_sent: bool, has_hsts: bool) -> None:
        self.has_hsts = has_hsts
        self._is_sent = is_sent
        self._always = (*_ALWAYS, *((_HSTS,) if has_hsts else ())) if is_sent else ()
        self._strict = (*self._always, *_STRICT) if is_sent else ()

    def beside(
        self, headers: Iterable[Header], *, is_mounted: bool, is_personal: bool
    ) -> Sequence[Header]:
        """The headers to add to those of a response.

        Args:
            headers: what it has.
            is_mounted: whether it comes from an app that is mounted in this one.
            is_personal: whether the request said who sends it, or should have.
        """
        given = dict(headers)
        is_strict = not is_mounted and _is_data(given.get(b"content-type", b""))
        ours = self._strict if is_strict else self._always
        if is_personal and self._is_sent:
            ours = (*ours, _PERSONAL_WITH_TAG if b"etag" in given else _PERSONAL)
        return [header for header in ours if header[0] not in given]


@lru_cache(maxsize=64)
def _is_data(content_type: bytes) -> bool:
    kind = content_type.partition(b";")[0].strip().lower()
    return kind in _DATA or kind.endswith(b"+json")


def headers_of_refusal(*, has_hsts: bool) -> dict[str, str]:
    """Those of an answer that no app has made, and that no cache keeps.

    Args:
        has_hsts: whether browsers are told to use TLS from now on.
    """
    sent = (*_ALWAYS, *_STRICT, _PERSONAL, *((_HSTS,) if has_hsts else ()))
    return {name.decode(): value.decode() for name, value in sent}
