"""Uncommitted writes: how much of a connection's transaction has written something.

A session that ends while it has any is refused, since somebody forgot to commit.
"""

import re

_HARMLESS = ("SELECT", "SHOW", "SET", "LOCK TABLE", "BEGIN")
_EXECUTED_PLAN = re.compile(r"\bANALY[SZ]E\b", re.IGNORECASE)
_WRITING_CTE = re.compile(
    r"\bAS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\(\s*(?:INSERT|UPDATE|DELETE|MERGE)\b", re.IGNORECASE
)
_WRITING = re.compile(r"\b(?:INSERT|(?<!FOR )UPDATE|DELETE|MERGE)\b", re.IGNORECASE)
_LAST_WORD = re.compile(r'("(?:[^"]|"")*"|\w+)\s*;?\s*\Z')
_OUTERMOST = ""


class UncommittedWrites:
    """The open levels of a transaction, its savepoints, and which of them have written.

    A statement counts by the command tag that the server returned for it, and by a data-modifying
    CTE in its text; a lock or a function alone does not.
    """

    def __init__(self) -> None:
        self._levels: list[tuple[str, bool]] = [(_OUTERMOST, False)]

    def forget(self) -> None:
        """Begin anew: the transaction is over."""
        self._levels = [(_OUTERMOST, False)]

    @property
    def depth(self) -> int:
        """How many levels are open, the transaction itself included."""
        return len(self._levels)

    def has_any(self, since: int) -> bool:
        """True if the level numbered `since` (from 1), or one inside of it, has written."""
        return any(wrote for _, wrote in self._levels[since - 1 :])

    def note(self, tag: str | None, sql: str) -> None:
        """Take in a statement that was carried out.

        Args:
            tag: what the server said it did, such as `INSERT 0 1`; `None` where it has not said
                so yet, as for a stream.
            sql: its text.
        """
        if tag == "SAVEPOINT":
            self._levels.append((_name_in(sql), False))
        elif tag == "RELEASE":
            self._close(_name_in(sql), keeps=True)
        elif tag == "ROLLBACK":
            self._close(_name_in(sql), keeps=False)
        elif _is_write(tag, sql):
            self.note_write()

    def note_write(self) -> None:
        """Note that the innermost level has written."""
        name, _ = self._levels[-1]
        self._levels[-1] = name, True

    def _close(self, name: str, *, keeps: bool) -> None:
        """End a savepoint and those inside of it; what they wrote is kept, or is undone."""
        places = [i for i, (known, _) in enumerate(self._levels) if i and known == name]
        if not places:
            return
        has_written = self.has_any(places[-1] + 1)
        del self._levels[places[-1] :]
        if keeps and has_written:
            self.note_write()


def _name_in(sql: str) -> str:
    found = _LAST_WORD.search(sql)
    return found[1].lower() if found else _OUTERMOST


def _is_write(tag: str | None, sql: str) -> bool:
    if tag is None:
        return bool(_WRITING.search(sql))
    if tag.startswith(_HARMLESS):
        return tag.startswith("SELECT") and bool(_WRITING_CTE.search(sql))
    if tag == "EXPLAIN":
        return bool(_EXECUTED_PLAN.search(sql))
    return not tag.endswith(" 0")
