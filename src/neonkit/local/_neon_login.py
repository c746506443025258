"""A login through Neon's proxy, after the proxy's public source."""

import re
import struct

from neonkit.local._protocol_messages import error_message

_PASSED = {b"user", b"database", b"application_name", b"replication"}
_OWN_WORD = re.compile(rb"(?:endpoint|project)=.*|neon_\w+:.*", re.DOTALL)
_PASS_ALL = b"neon_proxy_params_compat:true"
_WRONG_LOGIN = ("password authentication failed", "SASL authentication failed", "no such user")
_HEADER = 8  # length and protocol version


def startup_as_neon(packet: bytes) -> bytes:
    """Reduce a client's start-up packet as Neon's proxy does, which drops parameters in silence.

    Kept are user, database, application_name, replication, and `options` without the words that
    are for Neon itself. `client_encoding` is UTF8. The word `neon_proxy_params_compat:true` in
    `options` lets everything through.
    """
    parameters = _parameters(packet)
    words = re.findall(rb"(?:\\.|\S)+", parameters.pop(b"options", b""), re.DOTALL)
    options = b" ".join(word for word in words if not _OWN_WORD.fullmatch(word))
    kept = {
        name: value for name, value in parameters.items() if name in _PASSED or _PASS_ALL in words
    }
    if options:
        kept[b"options"] = options
    kept[b"client_encoding"] = b"UTF8"
    body = b"".join(name + b"\0" + value + b"\0" for name, value in kept.items()) + b"\0"
    return struct.pack("!I", _HEADER + len(body)) + packet[4:_HEADER] + body


def login_error_as_neon(body: bytes, packet: bytes) -> bytes:
    """The server's refusal of a login as Neon's proxy relays it: an ERROR with XX000.

    Args:
        body: of the server's ErrorResponse.
        packet: the client's start-up packet.
    """
    fields = {field[:1]: field[1:].decode(errors="replace") for field in body.split(b"\0")}
    text = fields.get(b"M", "")
    if text.startswith(_WRONG_LOGIN):
        user = _parameters(packet).get(b"user", b"").decode(errors="replace")
        text = f"password authentication failed for user '{user}'"
    return error_message("ERROR", "XX000", text)


def _parameters(packet: bytes) -> dict[bytes, bytes]:
    texts = packet[_HEADER:].split(b"\0")
    pairs = zip(texts[::2], texts[1::2], strict=False)
    return {name: value for name, value in pairs if name}
