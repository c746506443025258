"""Stands in for DNS: every host of Neon's is this machine."""

import socket
from typing import Any

_real = socket.getaddrinfo


def _resolve(host: Any, *arguments: Any, **options: Any) -> Any:  # noqa: ANN401  # as socket's own
    is_neon = isinstance(host, str) and host.endswith(".neon.tech")
    return _real("127.0.0.1" if is_neon else host, *arguments, **options)


socket.getaddrinfo = _resolve
