"""Tables in use: what a database says of those that a migration is about to touch."""

import re
from dataclasses import dataclass

from sqlalchemy import Connection, TextClause, text
from sqlalchemy.dialects import postgresql

_MANY = 10_000
_TYPE = text("""
SELECT format_type(atttypid, atttypmod) FROM pg_attribute
WHERE attrelid = to_regclass(:table) AND attname = :column AND NOT attisdropped
""")
_IS_PROVEN = text("""
SELECT EXISTS (
  SELECT FROM pg_constraint
  WHERE conrelid = to_regclass(:table) AND contype IN ('c', 'n') AND convalidated
    AND pg_get_constraintdef(oid) IN (:check, :not_null)
)
""")
_ALIASES = {"varchar": "character varying", "timestamptz": "timestamp with time zone",
            "decimal": "numeric", "char": "character", "int": "integer"}  # fmt: skip
_SIZED = re.compile(r"^(?P<kind>[a-z ]+?)(?:\((?P<size>\d+)(?:,(?P<scale>\d+))?\))?$")

_quoted = postgresql.dialect().identifier_preparer.quote  # type: ignore[no-untyped-call]  # SQLAlchemy annotates no constructor


def quoted(table: str) -> str:
    """A table's name as it stands in SQL."""
    return ".".join(_quoted(part) for part in table.split("."))


@dataclass(frozen=True)
class TablesInUse:
    """The tables of a database; without one, any table may have many rows.

    Attributes:
        connection: to the database; it is left outside of a transaction.
    """

    connection: Connection | None

    def has_rows(self, table: str) -> bool:
        """True unless it is known that the table is empty, or is not there."""
        return self._count(table, 1) > 0

    def has_many_rows(self, table: str) -> bool:
        """True for more rows than one statement changes in no time."""
        return self._count(table, _MANY + 1) > _MANY

    def is_never_null(self, table: str, column: str) -> bool:
        """True if a valid constraint says so, by which SET NOT NULL need not look (from 12 on)."""
        name = _quoted(column)
        values = {
            "table": quoted(table),
            "check": f"CHECK (({name} IS NOT NULL))",
            "not_null": f"NOT NULL {name}",
        }
        return bool(self._ask(_IS_PROVEN, values))

    def takes_as_it_is(self, table: str, column: str, kind: str) -> bool:
        """True if the column's values need not be written anew to be of this type."""
        now = self._ask(_TYPE, {"table": quoted(table), "column": column})
        return isinstance(now, str) and _is_wider(now, kind)

    def _count(self, table: str, most: int) -> int:
        if self.connection is None:
            return most
        if self._ask(text("SELECT to_regclass(:table)::text"), {"table": quoted(table)}) is None:
            return 0
        counted = f"SELECT count(*) FROM (SELECT FROM {quoted(table)} LIMIT {most}) AS counted"  # nosec B608 # noqa: S608  # a quoted name
        return int(str(self._ask(text(counted), {})))

    def _ask(self, question: TextClause, values: dict[str, str]) -> object:
        if self.connection is None:
            return None
        answer = self.connection.execute(question, values).scalar()
        self.connection.rollback()
        return answer


def _is_wider(now: str, kind: str) -> bool:
    """True for a type of the same values and more: text, a longer one, more digits.

    The cases in which ALTER COLUMN TYPE neither rewrites nor reads the table: PostgreSQL's
    binary-coercible types, and those whose length coercion has a support function.
    """
    old, new = _SIZED.match(now), _SIZED.match(_plain(kind))
    if old is None or new is None:
        return False
    if new["kind"] == "text" or (new["kind"] == "character varying" and not new["size"]):
        return old["kind"] in {"text", "character varying"}
    if old["kind"] != new["kind"]:
        return False
    if new["kind"] == "character varying":
        return bool(old["size"]) and int(old["size"]) <= int(new["size"])
    if new["kind"] == "numeric":
        return not new["size"] or (
            bool(old["size"])
            and (old["scale"] or "0") == (new["scale"] or "0")
            and int(old["size"]) <= int(new["size"])
        )
    return old[0] == new[0]


def _plain(kind: str) -> str:
    word, bracket, rest = kind.partition("(")
    return _ALIASES.get(word.strip(), word.strip()) + bracket + rest
