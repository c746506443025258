"""A plan: statements in the order that locks least, and what they change in words."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from enum import IntEnum


class Rank(IntEnum):
    """When a statement's turn is.

    What everything else needs comes first. What is slow on tables that people use stands apart, at
    the end and outside of the transaction; before that the statements that lock most, so that the
    locks are held for the shortest time.
    """

    LABEL = 0  # outside of the transaction: a new label cannot be used in the one that adds it
    NAME = 9
    SCHEMA = 10
    EXTENSION = 11
    RENAME_TYPE = 12
    TYPE = 13
    COUNTER = 14
    EARLY_FUNCTION = 15
    TABLE = 20
    FOREIGN_KEY_OF_NEW = 21
    FUNCTION = 22
    COMMENT = 23
    DROP_VIEW = 30
    DROP_TRIGGER = 31
    DROP_RULE = 32
    DROP_COMPUTED = 33
    OLD_COUNTER = 34
    COLUMN = 40
    IDENTITY = 41
    COMPUTED = 42
    OWNER = 43
    RULE = 50
    FOREIGN_KEY = 51
    TRIGGER = 53
    VIEW = 54
    COMMENT_ON_RULE = 55
    DROP_COLUMN = 60
    DROP_TABLE = 61
    DROP_COUNTER = 62
    DROP_TYPE = 63
    DROP_FUNCTION = 64
    DROP_EXTENSION = 65
    DROP_SCHEMA = 66
    APART = 70
    APART_AFTER = 71


_REPEATABLE = (
    (r"^(CREATE (?:UNLOGGED )?)TABLE (?!IF)", r"\1TABLE IF NOT EXISTS "),
    (r"^CREATE SCHEMA (?!IF)", "CREATE SCHEMA IF NOT EXISTS "),
    (r"^CREATE SEQUENCE (?!IF)", "CREATE SEQUENCE IF NOT EXISTS "),
    (r"^CREATE (UNIQUE )?INDEX (?!CONCURRENTLY|IF)", r"CREATE \1INDEX IF NOT EXISTS "),
    (r"^DROP (TABLE|TYPE|SEQUENCE|INDEX|DOMAIN|VIEW|MATERIALIZED VIEW|FUNCTION|SCHEMA|EXTENSION|"
     r"TRIGGER) (?!IF|CONCURRENTLY)", r"DROP \1 IF EXISTS "),
    (r" ADD COLUMN (?!IF)", " ADD COLUMN IF NOT EXISTS "),
    (r" DROP (COLUMN|CONSTRAINT) (?!IF)", r" DROP \1 IF EXISTS "),
)  # fmt: skip
_ADDED = re.compile(r'^(ALTER TABLE \S+) (ADD CONSTRAINT ("(?:[^"]|"")*"|\S+) (?!.*USING INDEX))')


@dataclass
class Plan:
    """Statements, each with its turn.

    Attributes:
        words: what changes, one sentence each.
        warnings: what the statements cannot know or do, one sentence each.
    """

    words: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    _steps: list[tuple[Rank, int, str]] = field(default_factory=list)

    def add(self, rank: Rank, statement: str) -> None:
        """Add a statement; those of one rank stay in the order in which they are added."""
        self._steps.append((rank, len(self._steps), statement))

    def add_first(self, rank: Rank, statement: str) -> None:
        """Add a statement before the others of its rank."""
        self._steps.append((rank, -len(self._steps), statement))

    def rename(self, statement: str, sentence: str) -> None:
        """Begin with another name for something."""
        self._steps.append((Rank.NAME, len(self._steps), statement))
        self.words.insert(0, sentence)

    def say(self, sentence: str) -> None:
        """Say what changes."""
        self.words.append(sentence)

    @property
    def is_empty(self) -> bool:
        """True where nothing has to be done."""
        return not self._steps

    @property
    def first(self) -> list[str]:
        """What is run before the transaction."""
        return [sql for rank, sql in self._ordered() if rank is Rank.LABEL]

    @property
    def inside(self) -> list[str]:
        """What is run in one transaction; repeatable where something comes after it."""
        found = [sql for rank, sql in self._ordered() if Rank.LABEL < rank < Rank.APART]
        return [repeatable(sql) for sql in found] if self.apart else found

    @property
    def apart(self) -> list[str]:
        """What is run after the transaction, each statement by itself."""
        return [sql for rank, sql in self._ordered() if rank >= Rank.APART]

    @property
    def statements(self) -> list[str]:
        """All of them."""
        return [*self.first, *self.inside, *self.apart]

    def _ordered(self) -> Iterator[tuple[Rank, str]]:
        for rank, _, statement in sorted(self._steps):
            yield rank, statement


def repeatable(statement: str) -> str:
    """Write a statement so that it may be run again: what comes after it may fail and be redone."""
    for pattern, replacement in _REPEATABLE:
        statement = re.sub(pattern, replacement, statement)
    return _ADDED.sub(r"\1 DROP CONSTRAINT IF EXISTS \3, \2", statement)
