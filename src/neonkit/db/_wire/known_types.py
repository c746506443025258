"""What the connections to one address have learned about its types, for those that come later.

asyncpg asks the server about each type that it does not have built in (enums, domains, ranges,
extensions' types), on every connection anew: four round trips.
"""

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol
from weakref import WeakSet

from asyncpg import Record


class Witness(Protocol):
    """A connection that has asked."""

    def is_closed(self) -> bool:
        """True if it is closed, by either side."""
        ...


@dataclass
class _Answer:
    rows: Sequence[Record]
    witnesses: WeakSet[Witness] = field(default_factory=WeakSet)


class KnownTypes:
    """Answers about types, by OID.

    An answer holds as long as a connection that got it from the server is open: afterwards another
    database may stand at the address, as after a reset of a Neon branch, and mean another type by
    the same number. A type that is made later has a number that nobody knows, and one that was
    dropped and made again a new one. Composite types are always asked for, since they alone change
    under their number.
    """

    def __init__(self) -> None:
        self._answers: dict[int, _Answer] = {}

    def recall(self, oids: Collection[int]) -> Sequence[Record] | None:
        """The rows about these types and what they are made of; `None` if one is not known."""
        answers = [self._answers.get(oid) for oid in oids]
        rows: list[Record] = []
        for answer in answers:
            if answer is None or all(each.is_closed() for each in answer.witnesses):
                return None
            rows += answer.rows
        return rows

    def learn(self, oids: Iterable[int], rows: Sequence[Record], witness: Witness) -> None:
        """Keep what the server said to a connection."""
        if any(row["attrtypoids"] for row in rows):
            return
        for oid in oids:
            answer = self._answers.setdefault(oid, _Answer(rows))
            if all(each.is_closed() for each in answer.witnesses):
                answer = self._answers[oid] = _Answer(rows)
            answer.witnesses.add(witness)

    def forget(self) -> None:
        """Forget everything: a table or a type has changed."""
        self._answers.clear()
