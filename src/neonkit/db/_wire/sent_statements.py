"""Sent statements: what whoever watches an engine of ours is told of each."""

from collections.abc import Callable
from typing import NamedTuple, TypeAlias

from neonkit.db._wire.phases import Sending


class SentStatement(NamedTuple):
    """One statement that was sent, and how that went.

    Attributes:
        sql: as it was sent.
        sending: with a transaction around it, or without.
        seconds: from sending to the last row, or to the error.
        rows: how many it returned or changed; `None` where that is not known: it failed, or was a
            batch or a stream.
        trips: how often it waited for the database, for BEGIN and preparation too.
        has_failed: whether it ended in an error.
    """

    sql: str
    sending: Sending
    seconds: float
    rows: int | None
    trips: int | None
    has_failed: bool = False


Watcher: TypeAlias = Callable[[SentStatement], object]
"""Is told where the statement ran: it must be quick and must not wait; its errors end that."""
