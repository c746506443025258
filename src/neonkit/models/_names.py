"""Names of constraints and indexes: by one convention, for the tables of `TableModel`s alone.

A convention of `MetaData` would rename the constraints of every table in it, also of those that
somebody else's migrations have made.
"""

from collections.abc import Iterable

from sqlalchemy import (
    CheckConstraint,
    Column,
    Constraint,
    ForeignKeyConstraint,
    Index,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    UniqueConstraint,
    event,
)
from sqlalchemy.schema import conv
from sqlmodel import SQLModel

NAMED = {"neonkit_names": True}
"""`info` of a table whose constraints are named here."""

_DONE = "neonkit_named"
_PREFIXES: dict[type[Constraint], str] = {
    UniqueConstraint: "uq",
    ForeignKeyConstraint: "fk",
}


def name_index(index: Index, table: Table) -> str:
    """`ix_table_column_column` for ours; what SQLAlchemy calls it anywhere else."""
    columns = [column.name for column in index.columns]
    if _is_ours(table):
        return _joined("ix", table, columns)
    schema = f"{table.schema.replace('.', '_')}_" if table.schema else ""
    return f"ix_{schema}{table.name}_{columns[0]}"


# SQLAlchemy names an index before anybody else could; what it asks for the name is ours
SQLModel.metadata.naming_convention = {"neonkit_ix": name_index, "ix": "%(neonkit_ix)s"}


@event.listens_for(Table, "after_parent_attach")
def _name_all(table: Table, _metadata: MetaData) -> None:
    """Name what a table was made with, now that its columns are known."""
    if _is_ours(table):
        table.info[_DONE] = True
        for constraint in table.constraints:
            _name(constraint, table)


@event.listens_for(Constraint, "after_parent_attach")
def _name_later(constraint: Constraint, parent: Table | Column[object]) -> None:
    """Name what is added to a table afterwards."""
    if isinstance(parent, Table) and _DONE in parent.info:
        _name(constraint, parent)


def _name(constraint: Constraint, table: Table) -> None:
    name = constraint.name
    if isinstance(constraint, CheckConstraint):
        if isinstance(name, str) and not isinstance(name, conv):
            constraint.name = conv(f"ck_{table.name}_{name}")
    elif name is None and isinstance(constraint, PrimaryKeyConstraint):
        constraint.name = conv(f"pk_{table.name}")
    elif name is None and isinstance(constraint, UniqueConstraint | ForeignKeyConstraint):
        columns = [column.name for column in constraint.columns]
        constraint.name = conv(_joined(_PREFIXES[type(constraint)], table, columns))


def _joined(prefix: str, table: Table, columns: Iterable[str]) -> str:
    return "_".join((prefix, table.name, *columns))


def _is_ours(table: Table) -> bool:
    return table.info.keys() >= NAMED.keys()
