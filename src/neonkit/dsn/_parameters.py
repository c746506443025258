"""The parameters of a URL: which there are, and what each may say."""

from collections.abc import Callable, Mapping
from difflib import get_close_matches

from neonkit.errors import UrlError

_SSL_MODES = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")


def _one_of(*allowed: str) -> Callable[[str], str | None]:
    def check(value: str) -> str | None:
        return None if value in allowed else f"must be one of {', '.join(allowed)}"

    return check


def _seconds(value: str) -> str | None:
    return None if value.isascii() and value.isdigit() else "must be a whole number, not negative"


def _text(value: str) -> str | None:
    return None if value.isprintable() else "must not hold control characters"


_KNOWN: Mapping[str, Callable[[str], str | None]] = {
    "application_name": _text,
    "channel_binding": _one_of("disable", "prefer", "require"),
    "client_encoding": _one_of("utf8", "UTF8", "auto"),
    "connect_timeout": _seconds,
    "fallback_application_name": _text,
    "gssencmode": _one_of("disable", "prefer"),
    "keepalives": _one_of("0", "1"),
    "keepalives_count": _seconds,
    "keepalives_idle": _seconds,
    "keepalives_interval": _seconds,
    "options": _text,
    "sslcert": _text,
    "sslkey": _text,
    "sslmode": _one_of(*_SSL_MODES),
    "sslnegotiation": _one_of("postgres", "direct"),
    "sslrootcert": _text,
    "target_session_attrs": _one_of(
        "any", "read-write", "read-only", "primary", "standby", "prefer-standby"
    ),
    "tcp_user_timeout": _seconds,
}


def check_parameter(name: str, value: str) -> None:
    """Refuse a parameter that libpq does not have, or a value that it would refuse.

    Raises:
        UrlError: named after the parameter; never repeats the value.
    """
    if name not in _KNOWN:
        near = get_close_matches(name, _KNOWN, n=1)
        hint = f"did you mean {near[0]}?" if near else "remove it"
        shown = name if name.isidentifier() and len(name) <= 40 else "…"  # noqa: PLR2004  # a line
        raise UrlError("parameter", f"there is no parameter {shown!r}; {hint}")
    complaint = _KNOWN[name](value)
    if complaint is not None:
        raise UrlError(name, complaint)
