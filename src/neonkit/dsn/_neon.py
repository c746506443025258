"""Host names of Neon's, and their meaning."""

import re

from neonkit.errors import UrlError

_DOMAIN = ".neon.tech"
_POOLER = "-pooler"
_ENDPOINT_OPTION = re.compile(r"(?<!\S)(endpoint|project)=(\S+)")
_OTHER_SERVICES = {
    "neonauth": "Neon Auth",
    "apirest": "Neon's Data API",
}


def is_neon(host: str) -> bool:
    """True if a host is one of Neon's."""
    return host.endswith(_DOMAIN)


def is_pooled(host: str) -> bool:
    """True if a host is the pooler of an endpoint: its first label says so."""
    return is_neon(host) and host.partition(".")[0].endswith(_POOLER)


def check_host(host: str) -> None:
    """Refuse Neon's hosts that are no PostgreSQL.

    Raises:
        UrlError: which service it is, and where the right URL stands.
    """
    first, _, rest = host.partition(".")
    if not is_neon(host) or (
        first.startswith("ep-") and rest.partition(".")[0] not in _OTHER_SERVICES
    ):
        return
    service = _OTHER_SERVICES.get(rest.partition(".")[0], "another of Neon's services")
    raise UrlError(
        "host",
        f"this is {service}, not PostgreSQL; copy the connection string of the branch, whose "
        "host begins with ep- (Neon console, Connect)",
    )


def with_pooler(host: str, *, is_wanted: bool) -> str:
    """Add the pooler's suffix to the first label, or take it away."""
    first, dot, rest = host.partition(".")
    return first.removesuffix(_POOLER) + (_POOLER if is_wanted else "") + dot + rest


def with_endpoint(options: str, host: str) -> str:
    """Let `endpoint=` in `options` name the endpoint that the host names.

    Neon compares the two as text, so that rewriting only the host is refused (XX000).
    """
    endpoint = host.partition(".")[0]
    return _ENDPOINT_OPTION.sub(lambda found: f"{found[1]}={endpoint}", options)
