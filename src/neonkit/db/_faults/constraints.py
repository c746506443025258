"""Constraints: the fields of a request that a violated one speaks of, and the error it means."""

from dataclasses import dataclass
from typing import TypeAlias

from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IdentifierError
from sqlalchemy.schema import ColumnCollectionConstraint

from neonkit.errors import ProblemError

Rule: TypeAlias = ColumnCollectionConstraint | Index


@dataclass(frozen=True)
class Violation:
    """A violated rule as a client is told of it.

    Attributes:
        fields: the body's fields at fault; empty where they cannot be told.
        error: the class in the rule's `info["error"]`.
    """

    fields: tuple[str, ...] = ()
    error: type[ProblemError] | None = None


def violation_of(
    metadata: MetaData, *, table: str | None, constraint: str | None, column: str | None
) -> Violation:
    """Look a violation up in the tables; without them, read what its name says.

    Args:
        metadata: the application's tables.
        table: the table's name, without its schema.
        constraint: the name of the constraint or the unique index.
        column: the column, where the server names one.
    """
    owner = next((each for each in metadata.tables.values() if each.name == table), None)
    if column is not None:
        return Violation((_field_named(owner, column),))
    if table is None or constraint is None:
        return Violation()
    rule = _rule(owner, constraint) if owner is not None else None
    fields = _fields(rule) if rule is not None else ()
    return Violation(
        fields or _guess(owner, table, constraint),
        rule.info.get("error") if rule is not None else None,
    )


def _rule(owner: Table, name: str) -> Rule | None:
    rules = (
        rule
        for rule in (*owner.constraints, *owner.indexes)
        if isinstance(rule, ColumnCollectionConstraint | Index)
    )
    return next((rule for rule in rules if _name(rule, owner) == name), None)


_preparer = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy annotates no constructor


def _name(rule: Rule, owner: Table) -> str | None:
    try:
        given = _preparer.format_constraint(rule) if rule.name is not None else None
    except IdentifierError:
        return None  # too long for PostgreSQL: no server can have said it
    return _default_name(rule, owner) if given is None else given.strip('"')


def _default_name(rule: Rule, owner: Table) -> str | None:
    if isinstance(rule, PrimaryKeyConstraint):
        return f"{owner.name}_pkey"
    endings = {UniqueConstraint: "key", ForeignKeyConstraint: "fkey", CheckConstraint: "check"}
    ending = next((endings[kind] for kind in type(rule).__mro__ if kind in endings), None)
    columns = "_".join(column.name for column in rule.columns)
    return f"{owner.name}_{columns}_{ending}" if ending else None


def _fields(rule: Rule) -> tuple[str, ...]:
    if "field" in rule.info:
        return (str(rule.info["field"]),)
    columns = list(rule.columns)
    if not isinstance(rule, ForeignKeyConstraint):
        # the owner or tenant that completes a unique value is seldom part of the body
        columns = [column for column in columns if not column.foreign_keys] or columns
    return tuple(_field(column) for column in columns)


def _field(column: Column[object]) -> str:
    return str(column.info.get("field", column.key))


def _field_named(owner: Table | None, column: str) -> str:
    if owner is None or column not in owner.columns:
        return column
    return _field(owner.columns[column])


# of PostgreSQL, and of the naming convention
_NAMES = (
    ("{table}_", "_key"),
    ("{table}_", "_fkey"),
    ("{table}_", "_check"),
    ("{table}_", "_idx"),
    ("uq_{table}_", ""),
    ("ix_{table}_", ""),
    ("ck_{table}_", ""),
)


def _guess(owner: Table | None, table: str, name: str) -> tuple[str, ...]:
    for start, end in _NAMES:
        prefix = start.format(table=table)
        if name.startswith(prefix) and name.endswith(end):
            column = name.removeprefix(prefix).removesuffix(end)
            if column in owner.columns if owner is not None else column:
                return (_field_named(owner, column),)
    return ()
