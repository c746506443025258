"""The inside of asyncpg: what it believes of the server, and the protocol under a connection."""

import socket
from typing import Any, Final

from neonkit._seams.record import ATTRIBUTE, LITERAL, Seam

__all__ = ["SEAMS", "UNSENDABLE", "leave_jit_alone", "socket_of"]

UNSENDABLE: Final = "invalid input for query argument"
"""How asyncpg begins to say that a value does not fit, before it repeats the value."""


def leave_jit_alone(connection: Any) -> None:  # noqa: ANN401  # asyncpg has no types
    """Let asyncpg ask about types without turning `jit` off and on again.

    Behind a pooler the two would reach two backends.
    """
    connection._server_caps = connection._server_caps._replace(jit=False)


def socket_of(connection: Any) -> socket.socket | None:  # noqa: ANN401  # as above
    """The socket of a connection, under its TLS; `None` where its event loop shows none."""
    found: socket.socket | None = connection._transport.get_extra_info("socket")
    return found


_CONNECTION = "asyncpg:Connection"
_PROTOCOL = "asyncpg.protocol.protocol:BaseProtocol"
_COUNT = "round trips on asyncpg are not counted"

SEAMS: Final = (
    Seam(
        _CONNECTION,
        "__init__",
        "(self, protocol, transport, loop, addr, config, params)",
        "nothing can connect with asyncpg",
    ),
    Seam(
        _CONNECTION,
        "_introspect_types",
        "async (self, typeoids, timeout)",
        "each connection asks about each enum again, in four round trips",
    ),
    Seam(_CONNECTION, "_server_caps", ATTRIBUTE, "`jit` stays off on another client's backend"),
    Seam(_CONNECTION, "_transport", ATTRIBUTE, "a server that vanished is not found on asyncpg"),
    Seam(
        "asyncpg.connection:ServerCapabilities",
        "jit",
        ATTRIBUTE,
        "`jit` stays off on another client's backend",
    ),
    Seam(
        "asyncpg.protocol",
        UNSENDABLE,
        LITERAL,
        "a client's value stands in the text of an error, and so in the log",
    ),
    *(
        Seam(_PROTOCOL, name, ATTRIBUTE, _COUNT)
        for name in (
            "prepare",
            "bind",
            "bind_execute",
            "bind_execute_many",
            "execute",
            "query",
            "copy_in",
            "copy_out",
            "close_portal",
            "close_statement",
        )
    ),
)
