"""Round trips that were counted: how many, and which statements they carried."""

from collections import Counter
from dataclasses import dataclass, field

_SHOWN = 300  # characters of a statement


@dataclass
class Trip:
    """One round trip: the client sent, and waited for the server.

    Attributes:
        session: the number of the connection, from 1.
        statements: the SQL that it ran, in order, without parameter values.
        prepared: the SQL that it prepared.
    """

    session: int
    statements: list[str] = field(default_factory=list)
    prepared: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        prepared = [f"prepare {text}" for text in self.prepared if text not in self.statements]
        texts = [_shown(text) for text in prepared + self.statements]
        return f"session {self.session}: {' | '.join(texts) or '(nothing but waiting)'}"


@dataclass(eq=False)
class Trips:
    """The round trips of one block, on all connections through the wire; `str()` lists them.

    Attributes:
        trips: one each, in the order of their sending.
        connecting: what opening connections cost beside them: TCP, each request before the
            start-up packet, TLS, the start-up packet, and each answer of the client's in the
            login.
    """

    trips: list[Trip] = field(default_factory=list)
    connecting: int = 0

    @property
    def count(self) -> int:
        """How many times somebody waited for the database, connecting excepted."""
        return len(self.trips)

    @property
    def statements(self) -> list[str]:
        """The SQL that ran, in order; a statement that was only prepared is not among it."""
        return [text for trip in self.trips for text in trip.statements]

    @property
    def by_session(self) -> dict[int, int]:
        """How many trips each connection made."""
        return dict(Counter(trip.session for trip in self.trips))

    def __str__(self) -> str:
        lines = [f"{number:3}. {trip}" for number, trip in enumerate(self.trips, 1)]
        if self.connecting:
            lines.append(f"and {self.connecting} to open connections, which are not counted")
        return "\n".join(lines)


def _shown(statement: str) -> str:
    line = " ".join(statement.split()) or "(empty query)"
    return line if len(line) <= _SHOWN else line[:_SHOWN] + "…"
