"""Ports that nothing listens on."""

import socket


def free_port() -> int:
    """A TCP port of 127.0.0.1."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port: int = free.getsockname()[1]
        return port
