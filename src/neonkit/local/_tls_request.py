"""PostgreSQL's request for TLS, sent on a connection before anything else."""

import asyncio
import ssl
import struct

from neonkit.dsn import Dsn
from neonkit.local._protocol_messages import SSL_REQUEST

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]

_PACKET = struct.pack("!II", 8, SSL_REQUEST)


async def open_tls(dsn: Dsn, context: ssl.SSLContext) -> Streams | None:
    """Connect and shake hands, as the URL's `sslnegotiation` says.

    Returns:
        The encrypted connection, which the caller closes; `None` where the server has no TLS.

    Raises:
        OSError: there is no connection, or the handshake fails (`ssl.SSLError`).
        asyncio.IncompleteReadError: the server closed without an answer.
    """
    reader, writer = await asyncio.open_connection(dsn.host, dsn.port)
    try:
        if dsn.parameters.get("sslnegotiation") == "direct":
            context.set_alpn_protocols(["postgresql"])  # the server insists on it there
        else:
            writer.write(_PACKET)
            if await reader.readexactly(1) != b"S":
                writer.transport.abort()
                return None
        await writer.start_tls(context, server_hostname=dsn.host)
    except BaseException:
        writer.transport.abort()
        raise
    return reader, writer
