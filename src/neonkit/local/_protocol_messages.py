"""PostgreSQL's wire protocol, version 3.0: where a message begins and ends, and what is in it."""

import struct
from typing import NamedTuple

KEPT_BYTES = 64 * 1024  # of one message; the rest of a long one passes without being held

SSL_REQUEST = 80877103
GSS_REQUEST = 80877104
CANCEL_REQUEST = 80877102

_HEADER = 5
_SMALLEST_LENGTH = 4  # a length counts itself
_LARGEST_STARTUP = 10_000  # as the server has it


class FramingError(ValueError):
    """The bytes are not PostgreSQL's protocol."""


class Message(NamedTuple):
    """One message.

    Attributes:
        kind: its first byte.
        body: what follows the length; of a long message the first 64 KiB.
    """

    kind: bytes
    body: bytes


class Piece(NamedTuple):
    """Bytes that may go on together.

    Attributes:
        raw: as they came, header included.
        message: the one that begins here; `None` for the rest of a long one.
        is_end: whether a message ends here.
    """

    raw: bytes
    message: Message | None
    is_end: bool


class Framing:
    """Splits one direction of a session, in whatever slices it comes.

    It holds 64 KiB at most. The pieces together are the bytes that came, in their order.
    """

    def __init__(self) -> None:
        self._held = bytearray()
        self._tail = 0

    def feed(self, data: bytes) -> list[Piece]:
        """Give what is complete; keep what is not.

        Raises:
            FramingError: a length that no message has.
        """
        self._held += data
        pieces: list[Piece] = []
        start = 0
        while piece := self._piece(start):
            pieces.append(piece)
            start += len(piece.raw)
        del self._held[:start]
        return pieces

    def _piece(self, start: int) -> Piece | None:
        held = len(self._held) - start
        if self._tail and held:
            raw = bytes(self._held[start : start + self._tail])
            self._tail -= len(raw)
            return Piece(raw, None, self._tail == 0)
        if held < _HEADER:
            return None
        (length,) = struct.unpack_from("!I", self._held, start + 1)
        if length < _SMALLEST_LENGTH:
            raise FramingError(f"a message cannot be {length} bytes long")
        size = 1 + length
        lead = min(size, _HEADER + KEPT_BYTES)
        if held < lead:
            return None
        raw = bytes(self._held[start : start + lead])
        self._tail = size - lead
        return Piece(raw, Message(raw[:1], raw[_HEADER:]), self._tail == 0)


def startup_size(head: bytes) -> int:
    """How many bytes follow the first four of a start-up packet.

    Raises:
        FramingError: none, or more than the server would take.
    """
    size = int.from_bytes(head, "big") - len(head)
    if not len(head) <= size <= _LARGEST_STARTUP:
        raise FramingError(f"a start-up packet cannot be {size} bytes long")
    return size


def startup_code(packet: bytes) -> int:
    """The protocol's version, or one of the three requests that stand in its place."""
    return int.from_bytes(packet[4:8], "big")


def text_at(body: bytes, start: int = 0) -> tuple[str, int]:
    """Read a string that ends with a zero byte; give it and where the next field begins.

    A text that was not kept to its end is marked with an ellipsis.
    """
    end = body.find(b"\0", start)
    if end < 0:
        return body[start:].decode(errors="replace") + "…", len(body)
    return body[start:end].decode(errors="replace"), end + 1


def error_message(severity: str, sqlstate: str, text: str) -> bytes:
    """An ErrorResponse with the fields S, C and M: all that Neon's proxy sends."""
    fields = {"S": severity, "C": sqlstate, "M": text}
    body = b"".join(f"{name}{value}\0".encode() for name, value in fields.items()) + b"\0"
    return b"E" + struct.pack("!I", len(body) + 4) + body


def without_channel_binding(raw: bytes) -> bytes:
    """Take SCRAM-SHA-256-PLUS off an AuthenticationSASL message; others come back as they are.

    It binds a login to the certificate that the client sees, which is not the server's.
    """
    code = raw[_HEADER : _HEADER + 4]
    if raw[:1] != b"R" or code != struct.pack("!I", 10):
        return raw
    names = [name for name in raw[_HEADER + 4 :].split(b"\0") if name]
    body = code + b"".join(name + b"\0" for name in names if not name.endswith(b"-PLUS")) + b"\0"
    return b"R" + struct.pack("!I", len(body) + 4) + body
