"""TLS as libpq's `sslmode` means it, for a driver that takes an `ssl.SSLContext`."""

import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from neonkit.errors import UrlError

SslArgument = ssl.SSLContext | bool | Literal["prefer", "allow"]


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
        return ssl.create_default_context(cafile=str(Path(root).expanduser()) if root else None)
    except OSError as error:
        reason = error.strerror or "it holds no certificate"
        raise UrlError("sslrootcert", f"the file cannot be used: {reason}") from None


def _load_client_certificate(context: ssl.SSLContext, parameters: Mapping[str, str]) -> None:
    try:
        context.load_cert_chain(parameters["sslcert"], parameters.get("sslkey"))
    except OSError as error:
        reason = error.strerror or "it does not hold a certificate and its key"
        raise UrlError("sslcert", f"the file cannot be used: {reason}") from None
