"""TLS as libpq's parameters mean it, for a driver that takes an `ssl.SSLContext`."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from neonkit.errors import UrlError

SslArgument = ssl.SSLContext | bool | Literal["prefer", "allow"]

_MAY_BE_PLAIN = {"disable", "allow", "prefer"}
_ONLY_WITH_TLS = ("sslcert", "sslkey", "sslrootcert")
_NO_BINDING = (
    "`require` is more than asyncpg can give, which has no channel binding: write "
    "sslmode=verify-full, so that the certificate tells who answers, or set DATABASE_DRIVER=psycopg"
)


def mode_of(parameters: Mapping[str, str], *, is_neon: bool) -> str:
    """A URL's `sslmode`, else `require` for Neon and libpq's own `prefer` elsewhere.

    The system's certificates as root make it `verify-full` by default, as in libpq.
    """
    if parameters.get("sslrootcert") == "system":
        return parameters.get("sslmode", "verify-full")
    return parameters.get("sslmode", "require" if is_neon else "prefer")


def asyncpg_mode_of(parameters: Mapping[str, str], *, is_neon: bool) -> str:
    """The `sslmode` by which asyncpg gives as much as a URL requires.

    asyncpg cannot bind a login to its TLS channel (RFC 5802, section 6), by which libpq tells the
    server from somebody in between. `verify-full` tells them apart as well. Neon's certificates
    are public, so that it stands in for the binding there.

    Raises:
        UrlError: a parameter asks for what asyncpg would leave out, or libpq refuse.
    """
    mode = mode_of(parameters, is_neon=is_neon)
    if mode in _MAY_BE_PLAIN:
        _refuse_plain(mode, parameters)
    if parameters.get("sslrootcert") == "system" and mode != "verify-full":
        raise UrlError("sslrootcert", "`system` needs sslmode=verify-full, as in libpq")
    if "sslkey" in parameters and "sslcert" not in parameters:
        raise UrlError("sslkey", "there is no sslcert that it belongs to")
    if parameters.get("channel_binding") != "require" or mode == "verify-full":
        return mode
    if not is_neon:
        raise UrlError("channel_binding", _NO_BINDING)
    return "verify-full"


def _refuse_plain(mode: str, parameters: Mapping[str, str]) -> None:
    """Refuse what would be without effect where a connection may end without TLS."""
    needed = {name: parameters.get(name) is not None for name in _ONLY_WITH_TLS} | {
        "sslnegotiation": parameters.get("sslnegotiation") == "direct",
        "channel_binding": parameters.get("channel_binding") == "require",
    }
    if (name := next((name for name, is_so in needed.items() if is_so), None)) is not None:
        raise UrlError(
            name,
            f"it would be without effect, because sslmode={mode} does without TLS: write "
            "sslmode=verify-full, or leave it out",
        )


def ssl_argument(mode: str, parameters: Mapping[str, str]) -> SslArgument:
    """Make asyncpg's `ssl` argument.

    `require` encrypts and verifies nothing, unless a root certificate is given: then it means
    `verify-ca`, as in libpq. `verify-full` takes the system's certificates where none is given.
    `prefer` and `allow` may end without TLS; asyncpg plays that itself.
    """
    if mode == "disable":
        return False
    if mode in {"prefer", "allow"}:
        return "prefer" if mode == "prefer" else "allow"
    root = parameters.get("sslrootcert")
    verifies = mode != "require" or root is not None
    context = _context(None if root == "system" else root, verifies=verifies)
    context.check_hostname = mode == "verify-full" or root == "system"
    if not verifies:
        context.verify_mode = ssl.CERT_NONE
    if "sslcert" in parameters:
        _load_client_certificate(context, parameters)
    return context


def _context(root: str | None, *, verifies: bool) -> ssl.SSLContext:
    if not verifies:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        return context
    try:
        context = ssl.create_default_context(cafile=str(Path(root).expanduser()) if root else None)
    except OSError as error:
        reason = error.strerror or "it holds no certificate"
        raise UrlError("sslrootcert", f"the file cannot be used: {reason}") from None
    if not (root or _has_roots(context)):
        raise UrlError(
            "sslrootcert",
            "the server's certificate is to be verified, and this system has no root "
            "certificates: install its package ca-certificates, or name a file with "
            "sslrootcert=FILE or SSL_CERT_FILE",
        )
    return context


def _has_roots(context: ssl.SSLContext) -> bool:
    """True if there are any; those of a folder are only read when a certificate asks for them."""
    folder = ssl.get_default_verify_paths().capath
    return context.cert_store_stats()["x509"] > 0 or bool(folder and any(Path(folder).iterdir()))


def _load_client_certificate(context: ssl.SSLContext, parameters: Mapping[str, str]) -> None:
    try:
        context.load_cert_chain(parameters["sslcert"], parameters.get("sslkey"))
    except OSError as error:
        reason = error.strerror or "it does not hold a certificate and its key"
        raise UrlError("sslcert", f"the file cannot be used: {reason}") from None
