"""What a transaction has written so far: the ground for refusing to forget a commit."""

import re
from typing import Protocol

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session

from neonkit.db._wire.listeners import listen

_LEDGER = "neonkit.ledger"
_STARTS = "neonkit.starts"
_HARMLESS = ("SELECT", "SHOW", "SET", "LOCK TABLE", "BEGIN", "SAVEPOINT", "RELEASE", "ROLLBACK")
_EXECUTED_PLAN = re.compile(r"\bANALY[SZ]E\b", re.IGNORECASE)
_WRITING_CTE = re.compile(
    r"\bAS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\(\s*(?:INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE
)


_WRITING = re.compile(r"\b(?:INSERT|(?<!FOR )UPDATE|DELETE|MERGE)\b", re.IGNORECASE)


class _TaggedCursor(Protocol):
    command_tag: str | None


def watch_writes(engine: Engine) -> None:
    """Note on each connection of `engine` which savepoint levels have written something.

    A statement counts by the command tag that the server returned, and by a data-modifying CTE
    in its text; a lock or a function alone does not.
    """
    listen(engine, "begin", _begin)
    listen(engine, "savepoint", _savepoint)
    listen(engine, "rollback_savepoint", _forget_level)
    listen(engine, "release_savepoint", _merge_level)
    listen(engine, "after_cursor_execute", _note)


def starts_of(session: Session) -> dict[Connection, int]:
    """The connections that a session has begun to use, and the level at which it did."""
    starts: dict[Connection, int] = session.info.setdefault(_STARTS, {})
    return starts


def depth_of(connection: Connection) -> int:
    """How many levels (transaction and savepoints) are open on this connection."""
    return len(_levels(connection))


def has_written(connection: Connection, since: int) -> bool:
    """Whether the level numbered `since` (from 1), or one inside it, has written."""
    return any(_levels(connection)[since - 1 :])


def _levels(connection: Connection) -> list[bool]:
    levels: list[bool] = connection.info.setdefault(_LEDGER, [False])
    return levels


def _begin(connection: Connection) -> None:
    connection.info[_LEDGER] = [False]


def _savepoint(connection: Connection, _name: str) -> None:
    _levels(connection).append(False)


def _forget_level(connection: Connection, _name: str, _context: object) -> None:
    _levels(connection).pop()


def _merge_level(connection: Connection, _name: str, _context: object) -> None:
    levels = _levels(connection)
    wrote = levels.pop()
    levels[-1] = levels[-1] or wrote


def _note(
    connection: Connection,
    cursor: _TaggedCursor,
    statement: str,
    _parameters: object,
    _context: object,
    executemany: bool,
) -> None:
    if executemany or _is_write(cursor.command_tag, statement):
        _levels(connection)[-1] = True


def _is_write(tag: str | None, statement: str) -> bool:
    if tag is None:  # a stream, whose rows are still to come
        return bool(_WRITING.search(statement))
    if tag.startswith(_HARMLESS):
        return tag.startswith("SELECT") and bool(_WRITING_CTE.search(statement))
    if tag == "EXPLAIN":
        return bool(_EXECUTED_PLAN.search(statement))
    return not tag.endswith(" 0")
