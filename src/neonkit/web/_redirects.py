"""Redirects that name no host: the one that a client sends is whatever it likes."""

from collections.abc import Sequence

from starlette.types import Scope

Header = tuple[bytes, bytes]


def without_own_host(scope: Scope, headers: Sequence[Header]) -> list[Header]:
    """Turn a `Location` on the request's own host into its path (RFC 9110, section 10.2.2).

    Starlette's redirect of `/notes/` to `/notes` is built from the header `Host`, and a cache
    would hand it on. A path that itself looks like a host is left as it is.
    """
    host = next((value for name, value in scope["headers"] if name == b"host"), b"")
    prefix = scope["scheme"].encode() + b"://" + host
    return [
        (name, value.removeprefix(prefix)) if _is_on(prefix, name, value) else (name, value)
        for name, value in headers
    ]


def _is_on(prefix: bytes, name: bytes, value: bytes) -> bool:
    rest = value[len(prefix) :]
    is_path = rest.startswith(b"/") and not rest.startswith((b"//", b"/\\"))
    return name == b"location" and value.startswith(prefix) and is_path
