"""Phases of a unit of work, and the rule by which a statement needs BEGIN before it."""

from dataclasses import dataclass
from enum import Enum, auto

from sqlalchemy.engine.interfaces import IsolationLevel


class Phase(Enum):
    """Where a unit of work stands with its transaction."""

    CONNECTING = auto()
    """It was opened just now; what prepares it commits as itself, since a pool rolls back."""

    NONE = auto()
    """No transaction is open; the next statement that is not sent on its own begins one."""

    DEFERRED = auto()
    """No transaction is open, and plain reads go without one: BEGIN waits for the first statement
    that needs it."""

    OPEN = auto()
    """BEGIN was sent."""


@dataclass
class Opening:
    """A command that goes out with the BEGIN of a unit of work, in its round trip.

    Attributes:
        command: SQL without parameters.
        is_sent: whether it went with the last BEGIN.
    """

    command: str
    is_sent: bool = False


class Sending(Enum):
    """How a statement is sent."""

    TRANSACTION = auto()
    """Inside of a transaction: BEGIN goes out first where none is open."""

    PLAIN = auto()
    """As a plain read, which sees the same with a transaction around it or without."""

    LONE = auto()
    """As a whole unit of work, which commits as itself."""


def needs_begin(
    sending: Sending,
    phase: Phase,
    isolation: IsolationLevel | None,
    *,
    has_read_committed: bool,
) -> bool:
    """Tell whether BEGIN has to go out before a statement.

    Under READ COMMITTED each statement has a snapshot of its own, so a plain read outside of a
    transaction sees what it would see inside of one. Under every other level two reads of a unit
    of work must share a snapshot, so the first of them begins.

    Args:
        sending: how the statement is sent.
        phase: of the unit of work that sends it.
        isolation: chosen for its transactions; `None` for the server's default.
        has_read_committed: whether that default is READ COMMITTED.
    """
    is_settled = phase is Phase.OPEN or phase is Phase.CONNECTING
    if is_settled or isolation == "AUTOCOMMIT" or sending is Sending.LONE:
        return False
    sees_the_same = has_read_committed and isolation is None
    return not (sending is Sending.PLAIN and phase is Phase.DEFERRED and sees_the_same)
