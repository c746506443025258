"""The socket that a server listens on, opened before anything else can fail."""

import errno
import logging
import os
import socket

from neonkit.errors import ConfigurationError

_log = logging.getLogger("neonkit")

_BACKLOG = 2048


def listen(host: str, port: int) -> socket.socket:
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
        raise ConfigurationError(_explain(error, host, port)) from None
    # connections inherit it; asyncio sets it only where the socket names its protocol, and without
    # it an answer's body waits 40 ms for the client to acknowledge the head
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def address_of(listener: socket.socket) -> str:
    """Write the address for people: a URL without its path."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def announce(address: str, workers: int) -> None:
    """Log that the service is ready."""
    count = "1 worker" if workers == 1 else f"{workers} workers"
    _log.info("neonkit serving on %s (%s, pid %d)", address, count, os.getpid())


def _explain(error: OSError, host: str, port: int) -> str:
    if error.errno == errno.EADDRINUSE:
        return (
            f"port {port} of {host} is taken: stop what listens there, or choose another with "
            "--port (or PORT)"
        )
    if error.errno == errno.EACCES:
        return f"this user may not listen on port {port}: choose one from 1024 on with --port"
    return f"cannot listen on {host}: give an address of this machine with --host (or HOST)"
