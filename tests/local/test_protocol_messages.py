"""PostgreSQL's framing: nothing is lost, in whatever slices the bytes come."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neonkit.local._protocol_messages import (
    KEPT_BYTES,
    Framing,
    FramingError,
    Message,
    error_message,
    startup_size,
    text_at,
    without_channel_binding,
)

MESSAGES = st.lists(
    st.tuples(
        st.sampled_from([b"Q", b"P", b"D", b"Z", b"d"]),
        st.one_of(
            st.binary(max_size=40),
            st.integers(KEPT_BYTES - 2, KEPT_BYTES + 9).map(bytes),
            st.just(bytes(3 * KEPT_BYTES)),
        ),
    ),
    max_size=6,
)


def _encoded(kind: bytes, body: bytes) -> bytes:
    return kind + struct.pack("!I", len(body) + 4) + body


@given(messages=MESSAGES, data=st.data())
def test_any_slicing_gives_the_same(
    messages: list[tuple[bytes, bytes]], data: st.DataObject
) -> None:
    """Bytes come out as they went in, and each message is seen once, however it was sliced."""
    stream = b"".join(_encoded(*message) for message in messages)
    cuts = sorted(data.draw(st.sets(st.integers(0, len(stream)), max_size=12)))
    framing = Framing()

    pieces = [
        piece
        for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)
        for piece in framing.feed(stream[start:end])
    ]

    assert b"".join(piece.raw for piece in pieces) == stream
    assert [piece.message for piece in pieces if piece.message] == [
        Message(kind, body[:KEPT_BYTES]) for kind, body in messages
    ]
    assert sum(piece.is_end for piece in pieces) == len(messages)


def test_byte_by_byte() -> None:
    """One byte at a time gives whole messages, each with its last byte."""
    framing = Framing()
    stream = _encoded(b"Q", b"SELECT 1\0") + _encoded(b"S", b"")

    sizes = [len(framing.feed(stream[at : at + 1])) for at in range(len(stream))]

    assert [at for at, size in enumerate(sizes) if size] == [13, 18]


def test_a_long_message_is_not_held() -> None:
    """What is kept of a message is bounded; the rest goes on at once."""
    framing = Framing()
    framing.feed(b"d" + struct.pack("!I", 1 << 30))
    framing.feed(bytes(KEPT_BYTES))

    for _ in range(100):
        assert [len(piece.raw) for piece in framing.feed(bytes(5000))] == [5000]
    assert len(framing._held) == 0


@pytest.mark.parametrize("length", [0, 3])
def test_a_length_that_no_message_has(length: int) -> None:
    """What is not the protocol is refused, not waited for."""
    with pytest.raises(FramingError, match=f"{length} bytes"):
        Framing().feed(b"Q" + struct.pack("!I", length))


@pytest.mark.parametrize("head", [b"\0\0\0\x07", b"GET ", b"\0\0\0\0"])
def test_a_start_that_is_none(head: bytes) -> None:
    """A start-up packet that the server would refuse by its size is refused."""
    with pytest.raises(FramingError, match="start-up"):
        startup_size(head)


def test_texts() -> None:
    """Strings are read one after another; one that was cut off is marked."""
    assert text_at(b"name\0SELECT 1\0", 5) == ("SELECT 1", 14)
    assert text_at(b"SELECT \xff") == ("SELECT \N{REPLACEMENT CHARACTER}…", 8)


def test_an_error_is_one_message() -> None:
    """An ErrorResponse has severity, SQLSTATE and text, and its length is right."""
    [piece] = Framing().feed(error_message("ERROR", "XX000", "Internal error"))

    assert piece.message == Message(b"E", b"SERROR\0CXX000\0MInternal error\0\0")


def test_channel_binding_is_not_offered() -> None:
    """Of the login methods only the one that binds to a certificate goes; the rest stays."""
    offer = struct.pack("!I", 10) + b"SCRAM-SHA-256-PLUS\0SCRAM-SHA-256\0\0"
    left = struct.pack("!I", 10) + b"SCRAM-SHA-256\0\0"

    assert without_channel_binding(_encoded(b"R", offer)) == _encoded(b"R", left)
    assert without_channel_binding(_encoded(b"R", bytes(4))) == _encoded(b"R", bytes(4))
