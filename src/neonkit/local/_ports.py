"""TCP ports of this machine: one to listen on, and free ones for programs that are started."""

import errno
import socket
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from neonkit.errors import ConfigurationError

Started = TypeVar("Started")

_BACKLOG = 2048
_TRIES = 3  # another program may take the port between choosing and binding it


class PortTakenError(ConfigurationError):
    """Another program has the port that was chosen a moment ago."""


def open_listener(host: str, port: int) -> socket.socket:
    """Listen; connections wait in the socket's queue until a server takes them.

    Args:
        host: a name, an IPv4 or an IPv6 address; `0.0.0.0` and `::` are every address.
        port: 0 for a free one.

    Raises:
        ConfigurationError: the port is taken, or the host is not this machine's.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        listener = socket.create_server(
            (host, port),
            family=family,
            backlog=_BACKLOG,
            dualstack_ipv6=host == "::" and socket.has_dualstack_ipv6(),
        )
    except OSError as error:
        raise ConfigurationError(_why_refused(error, host, port)) from None
    # connections inherit it; asyncio sets it only where the socket names its protocol, and without
    # it an answer's body waits 40 ms for the client to acknowledge the head
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def address_of(listener: socket.socket) -> str:
    """Write the address for people: a URL without its path."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def start_on_free_port(start: Callable[[int], Started]) -> Started:
    """Start a program on a free port of 127.0.0.1, on another one if that was taken meanwhile.

    Args:
        start: takes the port; raises `PortTakenError` where the program cannot bind it.

    Raises:
        PortTakenError: three ports in a row were taken.
    """
    for _ in range(_TRIES - 1):
        with suppress(PortTakenError):
            return start(_free_port())
    return start(_free_port())


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port


def _why_refused(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken: stop what listens there, or choose another with "
            "--port (or PORT)"
        )
    if error.errno == errno.EACCES:
        return f"this user may not listen on port {port}: choose one from 1024 on with --port"
    return f"cannot listen on {host}: give an address of this machine with --host (or HOST)"
