"""Peers that vanish without a word: the kernel finds out, on the socket of either driver."""

import socket
from collections.abc import Mapping
from typing import Final

DEFAULTS: Final = {
    "keepalives": "1",
    "keepalives_idle": "1",
    "keepalives_interval": "1",
    "keepalives_count": "2",
    "tcp_user_timeout": "2000",
}
"""libpq's parameters: a peer that acknowledges nothing is found within 2.5 s.

Two seconds until it counts as gone, counted where data waits to be acknowledged, and where a reply
is waited for: after a second without one the kernel asks each second.
"""

_OPTIONS = {  # seconds, and a count; macOS calls the first one TCP_KEEPALIVE
    "keepalives_idle": ("TCP_KEEPIDLE", "TCP_KEEPALIVE"),
    "keepalives_interval": ("TCP_KEEPINTVL",),
    "keepalives_count": ("TCP_KEEPCNT",),
    "tcp_user_timeout": ("TCP_USER_TIMEOUT",),
}


def find_dead_peer(connected: socket.socket, parameters: Mapping[str, str]) -> None:
    """Have the kernel find out if the other end of a TCP connection is gone, as libpq does it.

    Args:
        connected: a socket; one that is not TCP's stays as it is.
        parameters: of the URL, which come before `DEFAULTS`.
    """
    if connected.family not in {socket.AF_INET, socket.AF_INET6}:
        return
    chosen = {**DEFAULTS, **parameters}
    is_kept_alive = int(chosen["keepalives"])
    connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, is_kept_alive)
    for name, options in _OPTIONS.items():
        value = int(chosen[name])
        option = next((getattr(socket, each) for each in options if hasattr(socket, each)), None)
        if value and option is not None:
            connected.setsockopt(socket.IPPROTO_TCP, option, value)
