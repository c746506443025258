"""Peers on this machine itself."""

from ipaddress import IPv6Address, ip_address

from starlette.requests import HTTPConnection

_FORWARDING = ("forwarded", "via", "x-real-ip")


def is_from_here(connection: HTTPConnection) -> bool:
    """Tell if the peer is this machine itself, and no proxy on it that speaks for others."""
    if connection.client is None or any(
        name in _FORWARDING or name.startswith("x-forwarded-") for name in connection.headers
    ):
        return False
    try:
        address = ip_address(connection.client.host)
    except ValueError:
        return False
    mapped = address.ipv4_mapped if isinstance(address, IPv6Address) else None
    return (mapped or address).is_loopback
