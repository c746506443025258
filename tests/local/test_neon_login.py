"""What Neon's proxy makes of a start-up packet, and of a server's refusal."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from neonkit.local._neon_login import login_error_as_neon, startup_as_neon
from neonkit.local._protocol_messages import error_message

KEPT = {"user", "database", "application_name", "replication", "options", "client_encoding"}
texts = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), min_size=1)


def packet(parameters: dict[str, str]) -> bytes:
    """A start-up packet of protocol 3.0."""
    pairs = "".join(f"{name}\0{value}\0" for name, value in parameters.items())
    body = b"\0\3\0\0" + pairs.encode() + b"\0"
    return struct.pack("!I", len(body) + 4) + body


def read(raw: bytes) -> dict[str, str]:
    """The parameters of a start-up packet, whose length must be right."""
    assert struct.unpack_from("!I", raw) == (len(raw),)
    assert raw[4:8] == b"\0\3\0\0"
    assert raw.endswith(b"\0\0")
    parts = raw[8:-2].decode().split("\0")
    return dict(zip(parts[::2], parts[1::2], strict=True))


@given(st.dictionaries(st.sampled_from(sorted(KEPT - {"options"})) | texts, texts))
def test_what_is_kept(parameters: dict[str, str]) -> None:
    """Only what Neon passes on arrives, as it was given; the encoding is UTF8."""
    parameters.pop("options", None)
    kept = {name: value for name, value in parameters.items() if name in KEPT}
    assert read(startup_as_neon(packet(parameters))) == kept | {"client_encoding": "UTF8"}


@pytest.mark.parametrize(
    ("given", "passed"),
    [
        ("-c timezone=UTC", "-c timezone=UTC"),
        ("endpoint=ep-calm-sea-1", None),
        ("project=ep-calm-sea-1 -c a=b", "-c a=b"),
        ("  neon_lsn:0/1   -c  a=b ", "-c a=b"),
        (r"-c a=one\ endpoint=two", r"-c a=one\ endpoint=two"),
        ("-c endpoint=x neonish:1", "-c neonish:1"),
    ],
)
def test_words_of_options(given: str, passed: str | None) -> None:
    """Neon's own words are taken out of `options`, and the option itself where none is left."""
    arrived = read(startup_as_neon(packet({"user": "ada", "options": given})))
    assert arrived.get("options") == passed


def test_all_of_it_where_that_is_asked_for() -> None:
    """`neon_proxy_params_compat:true` lets every parameter through."""
    parameters = {"user": "ada", "jit": "off", "options": "neon_proxy_params_compat:true"}
    arrived = read(startup_as_neon(packet(parameters)))
    assert arrived == {"user": "ada", "jit": "off", "client_encoding": "UTF8"}


@pytest.mark.parametrize(
    ("said", "relayed"),
    [
        ('password authentication failed for user "ada"', "password authentication failed for"),
        ("SASL authentication failed", "password authentication failed for user 'ada'"),
        ('database "x" does not exist', 'database "x" does not exist'),
    ],
)
def test_a_refusal(said: str, relayed: str) -> None:
    """Its code is XX000, and only a wrong password has words of Neon's own."""
    body = error_message("FATAL", "28P01", said)[5:]
    message = login_error_as_neon(body, packet({"user": "ada"}))
    assert message.startswith(b"E")
    assert b"SERROR\0CXX000\0M" in message
    assert relayed.encode() in message
