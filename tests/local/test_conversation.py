"""Which round trip a message belongs to, and which moment of a session it is."""

import pytest

from neonkit.local._conversation import Conversation
from neonkit.local._protocol_messages import Message
from neonkit.local._round_trips import Trip

READY = Message(b"Z", b"I")


def _session() -> tuple[Conversation, list[Trip]]:
    """A session after its login."""
    trips: list[Trip] = []
    talk = Conversation(1, trips.append, lambda: None)
    talk.answer(READY)
    return talk, trips


def _ask(talk: Conversation, *messages: tuple[bytes, bytes]) -> None:
    for message in messages:
        talk.ask(Message(*message))


RUN = (b"P", b"\0SELECT 1\0"), (b"B", b"\0\0"), (b"E", b"\0" + bytes(4))


def test_an_error_that_was_not_asked_for_ends_no_trip() -> None:
    """The server sends an error before Sync, and the Sync that follows is the same trip."""
    talk, trips = _session()
    _ask(talk, *RUN)
    talk.answer(Message(b"E", b""))
    _ask(talk, *RUN, (b"S", b""))
    talk.answer(READY)
    assert [trip.statements for trip in trips] == [["SELECT 1"]]

    _ask(talk, *RUN, (b"H", b""))
    talk.answer(Message(b"E", b""))
    _ask(talk, (b"S", b""))
    talk.answer(READY)
    assert len(trips) == 3


def test_what_the_server_says_by_itself_ends_nothing() -> None:
    """Notices, settings and notifications between question and answer are no answer."""
    talk, trips = _session()
    _ask(talk, (b"Q", b"SELECT 1\0"))
    for kind in (b"N", b"S", b"A"):
        talk.answer(Message(kind, b""))
    _ask(talk, (b"Q", b"SELECT 2\0"), (b"X", b""))

    assert [trip.statements for trip in trips] == [["SELECT 1", "SELECT 2"]]


@pytest.mark.parametrize(
    ("statement", "moment"),
    [
        ("COMMIT", "commit"),
        ("/* x */ end;", "commit"),
        ("-- x\nBEGIN", "begin"),
        ("start transaction read only", "begin"),
        ("BEGIN; SELECT 1; -- so\nCOMMIT", "commit"),
        ("SELECT 1 FOR UPDATE", "statement"),
        ("SELECT deleted FROM row", "statement"),
        ("INSERT INTO ending VALUES (1)", "write"),
        ("WITH a AS (delete from b) SELECT", "write"),
        ("ROLLBACK", None),
        ("SET x = 1", None),
        ("", None),
    ],
)
def test_moments(statement: str, moment: str | None) -> None:
    """What begins, what commits, and what commits by itself; comments and case do not matter."""
    talk, _ = _session()

    assert talk.ask(Message(b"Q", statement.encode() + b"\0")) == moment


def test_inside_of_a_transaction_no_statement_commits() -> None:
    """After BEGIN a statement is no moment, even in one pipeline; after COMMIT it is again."""
    talk, _ = _session()
    statement = Message(b"Q", b"SELECT 1\0")
    _ask(talk, (b"Q", b"BEGIN\0"))
    assert talk.ask(statement) is None
    for status in (b"T", b"T"):
        talk.answer(Message(b"Z", status))
    assert talk.ask(statement) is None
    talk.answer(READY)

    assert talk.ask(statement) == "statement"
