"""The conversation of client and server in one session: its round trips, and their SQL."""

import re
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from neonkit.local._protocol_messages import Message, text_at
from neonkit.local._round_trips import Trip

Moment = Literal["begin", "commit", "statement", "write"]

_QUERY, _PARSE, _BIND, _DESCRIBE, _EXECUTE = b"Q", b"P", b"B", b"D", b"E"
_CLOSE, _SYNC, _FLUSH, _CALL, _TERMINATE = b"C", b"S", b"H", b"F", b"X"
_COPY_DATA, _COPY_DONE, _COPY_FAIL = b"d", b"c", b"f"

_READY, _ERROR, _COPY_IN = b"Z", b"E", b"G"

_COPYING = {_COPY_DATA, _COPY_DONE, _COPY_FAIL}
_ENDS = {_QUERY, _SYNC, _CALL}  # the server says ReadyForQuery after each of these
_ANSWERED_BY = {
    b"1": {_PARSE},
    b"2": {_BIND},
    b"3": {_CLOSE},
    b"T": {_DESCRIBE},
    b"n": {_DESCRIBE},
    b"C": {_EXECUTE},
    b"I": {_EXECUTE},
    b"s": {_EXECUTE},
    _READY: _ENDS,
}
_WAITS = _ENDS | {_FLUSH, _COPY_DONE, _COPY_FAIL}  # after these the server speaks

_COMMENT = re.compile(r"--[^\n]*|/\*.*?\*/", re.DOTALL)
_COMMITS = re.compile(r"(?:\A|;)\s*(?:COMMIT|END)\b", re.IGNORECASE)
_WRITES = re.compile(r"\b(?:INSERT|MERGE|DELETE|(?<!FOR )(?<!KEY )UPDATE)\b", re.IGNORECASE)
_BEGINS = {"BEGIN", "START"}
_CONTROLS = frozenset(
    ("", "ABORT", "DEALLOCATE", "DISCARD", "RELEASE", "RESET", "ROLLBACK", "SAVEPOINT", "SET")
)


@dataclass
class _Request:
    """A message of the client's that the server has not answered."""

    kind: bytes
    name: str = ""
    replaced: str | None = None
    is_marked: bool = False


class Conversation:
    """Follows one session after its start-up packet.

    A trip begins with what the client sends while no answer is outstanding, and is counted when
    it asks the server to speak: by Query, Sync, Flush, a function call, or the end of a COPY.
    Whatever it sends before everything is answered belongs to the same trip: a pipeline is one.

    Args:
        session: its number.
        on_trip: called once for each trip.
        on_login: called for each answer that the client gives in the login.
    """

    def __init__(
        self, session: int, on_trip: Callable[[Trip], None], on_login: Callable[[], None]
    ) -> None:
        self._session = session
        self._on_trip = on_trip
        self._on_login = on_login
        self._is_logged_in = False
        self._requests: deque[_Request] = deque()
        self._trip: Trip | None = None
        self._is_counted = False
        self._is_copying = False
        self._is_skipping = False
        self._is_in_transaction = False
        self._marks_sync = False
        self._statements: dict[str, str] = {}
        self._portals: dict[str, str] = {}

    @property
    def is_logged_in(self) -> bool:
        """Logged in: the server has said for the first time that it is ready."""
        return self._is_logged_in

    @property
    def is_busy(self) -> bool:
        """In use: an answer is outstanding, or a transaction open."""
        return bool(self._requests) or self._is_copying or self._is_in_transaction

    def ask(self, message: Message) -> Moment | None:
        """Take note of what the client says; tell which moment it is."""
        kind = message.kind
        if not self._is_logged_in:
            self._on_login()
            return None
        if self._is_without_answer(kind):
            return None
        if self._trip is None:
            self._trip, self._is_counted = Trip(self._session), False
        moment = self._read(message)
        if kind in _WAITS and not self._is_counted:
            self._is_counted = True
            self._on_trip(self._trip)
        return moment

    def mark(self) -> None:
        """Have `answer` tell when the statement that `ask` just saw is done."""
        if self._requests[-1].kind == _EXECUTE:
            self._marks_sync = True  # its transaction commits there
        else:
            self._requests[-1].is_marked = True

    def answer(self, message: Message) -> bool:
        """Take note of what is passed on to the client; `True` ends the marked statement."""
        if message.kind == _ERROR:
            self._fail()
        elif message.kind == _COPY_IN:
            self._begin_copy()
        is_marked = False
        if self._requests and self._requests[0].kind in _ANSWERED_BY.get(message.kind, ()):
            is_marked = self._requests.popleft().is_marked
        if message.kind == _READY:
            self._rest(message.body)
        if not self._requests and self._is_counted:  # an error comes without being asked for
            self._trip = None
        return is_marked

    def _is_without_answer(self, kind: bytes) -> bool:
        if kind in _COPYING:
            return not self._is_copying  # what an error overtook
        if kind == _FLUSH:
            return not self._requests or self._is_copying
        if kind == _SYNC:
            return self._is_copying
        return kind == _TERMINATE or self._is_skipping

    def _read(self, message: Message) -> Moment | None:
        kind, body = message
        if kind in _COPYING:
            self._is_copying = kind == _COPY_DATA
            return None
        if kind == _FLUSH:
            return None
        request = _Request(kind)
        self._requests.append(request)
        if kind == _SYNC:
            request.is_marked, self._marks_sync = self._marks_sync, False
            self._is_skipping = False
        elif kind == _PARSE:
            self._parse(request, body)
        elif kind == _BIND:
            portal, start = text_at(body)
            name, _ = text_at(body, start)
            self._portals[portal] = self._statements.get(name, f"(statement {name!r})")
        elif kind == _CLOSE and body[:1] == b"S":
            self._statements.pop(text_at(body, 1)[0], None)
        elif kind == _QUERY:
            return self._run(text_at(body)[0])
        elif kind == _EXECUTE:
            portal, _ = text_at(body)
            return self._run(self._portals.get(portal, f"(portal {portal!r})"))
        return None

    def _parse(self, request: _Request, body: bytes) -> None:
        request.name, start = text_at(body)
        statement, _ = text_at(body, start)
        request.replaced = self._statements.get(request.name)
        self._statements[request.name] = statement
        self._current.prepared.append(statement)

    def _run(self, statement: str) -> Moment | None:
        self._current.statements.append(statement)
        bare = _COMMENT.sub(" ", statement).lstrip()
        word = re.split(r"\W", bare, maxsplit=1)[0].upper()
        if _COMMITS.search(bare):
            return "commit"
        if word in _BEGINS:
            self._is_in_transaction = True
            return "begin"
        if self._is_in_transaction or word in _CONTROLS:
            return None
        return "write" if _WRITES.search(bare) else "statement"

    @property
    def _current(self) -> Trip:
        assert self._trip is not None, "`ask` began one"  # noqa: S101
        return self._trip

    def _fail(self) -> None:
        if not self._requests or self._requests[0].kind in _ENDS:
            self._is_copying = False
            return
        lost: list[_Request] = []
        while self._requests and self._requests[0].kind not in _ENDS:
            lost.append(self._requests.popleft())
        for request in reversed(lost):
            if request.kind == _PARSE:
                self._forget(request)
        self._is_copying = False
        self._is_skipping = not self._requests  # until the client says Sync

    def _forget(self, request: _Request) -> None:
        if request.replaced is None:
            self._statements.pop(request.name, None)
        else:
            self._statements[request.name] = request.replaced

    def _begin_copy(self) -> None:
        self._is_copying = True
        self._trip = None
        # the server ignores Sync until the data has ended; libpq sends another one then
        marked = any(request.is_marked for request in self._requests if request.kind == _SYNC)
        self._marks_sync = self._marks_sync or marked
        self._requests = deque(item for item in self._requests if item.kind != _SYNC)

    def _rest(self, status: bytes) -> None:
        self._is_logged_in = True
        if not self._requests:
            self._is_in_transaction = status != b"I"
            if not self._is_in_transaction:
                self._portals.clear()
