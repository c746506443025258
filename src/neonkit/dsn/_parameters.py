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

_ELSEWHERE = "write it into the URL itself"
_CERTIFICATES = "sslmode=verify-full with sslrootcert verifies the server"
_NOT_HERE: Mapping[str, str] = {  # of libpq 18
    "dbname": _ELSEWHERE,
    "gssdelegation": "Kerberos is not used here",
    "gsslib": "Kerberos is not used here",
    "host": _ELSEWHERE,
    "hostaddr": _ELSEWHERE,
    "krbsrvname": "Kerberos is not used here",
    "load_balance_hosts": "there is one host",
    "max_protocol_version": "the driver knows which it speaks",
    "min_protocol_version": "the driver knows which it speaks",
    "passfile": "write the password into the URL, whose variable is the secret",
    "password": _ELSEWHERE,
    "port": _ELSEWHERE,
    "replication": "this is no replication client",
    "require_auth": _CERTIFICATES,
    "requirepeer": "there are no Unix sockets",
    "scram_client_key": "write the password into the URL",
    "scram_server_key": "write the password into the URL",
    "service": "write the whole URL",
    "servicefile": "write the whole URL",
    "ssl_max_protocol_version": "TLS 1.2 is the oldest that is spoken",
    "ssl_min_protocol_version": "TLS 1.2 is the oldest that is spoken",
    "sslcertmode": "a certificate is sent where sslcert names one",
    "sslcompression": "nothing is compressed",
    "sslcrl": _CERTIFICATES,
    "sslcrldir": _CERTIFICATES,
    "sslkeylogfile": "nobody logs keys",
    "sslpassword": "use a key file without a passphrase that only this user may read",
    "sslsni": "the host's name is always sent",
    "user": _ELSEWHERE,
}


def check_parameter(name: str, value: str) -> None:
    """Refuse a parameter that libpq does not have, or a value that it would refuse.

    What libpq has, and one of the drivers or this toolkit has not, is refused as well: what a URL
    requires is had, or it is not connected.

    Raises:
        UrlError: named after the parameter; never repeats the value.
    """
    if name in _NOT_HERE or name.startswith("oauth_"):
        reason = _NOT_HERE.get(name, "there is no OAuth login")
        raise UrlError("parameter", f"{name} is libpq's, and not supported here: {reason}")
    if name not in _KNOWN:
        near = get_close_matches(name, _KNOWN, n=1)
        hint = f"did you mean {near[0]}?" if near else "remove it"
        shown = name if name.isidentifier() and len(name) <= 40 else "…"  # noqa: PLR2004  # a line
        raise UrlError("parameter", f"there is no parameter {shown!r}; {hint}")
    complaint = _KNOWN[name](value)
    if complaint is not None:
        raise UrlError(name, complaint)
