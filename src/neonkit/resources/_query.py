"""What a query is, alike in every process, whatever objects it was built from."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, FromClause, Join, Select, Table, literal_column, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.util import LRUCache

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's


@dataclass(frozen=True)
class Shape:
    """What all statements that differ in values alone have in common.

    Attributes:
        sql: the statement, rendered.
        has_outer_join: some of its columns may be NULL although their tables refuse it.
        whole: the table that it selects all rows of, if it does.
    """

    sql: str
    has_outer_join: bool
    whole: Table | None


_SHAPES: LRUCache[Any, Shape] = LRUCache(500)


def shape_of(statement: Select[*tuple[Any, ...]]) -> tuple[Shape, Sequence[Any]]:
    """The shape of a statement, worked out once, and the values in it."""
    key = statement._generate_cache_key()  # noqa: SLF001  # as SQLAlchemy's caching examples do
    if key is None:
        return _examine(statement), sorted(statement.compile(dialect=DIALECT).params.items())
    shape = _SHAPES.get(key.key)
    if shape is None:
        shape = _SHAPES[key.key] = _examine(statement)
    return shape, [parameter.effective_value for parameter in key.bindparams]


def fingerprint(shape: Shape, values: Sequence[Any], order: str) -> bytes:
    """What a cursor is bound to: the statement, its values and its order."""
    text = repr((order, shape.sql, *values))
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def padded_by(from_: FromClause, *, is_padded: bool = False) -> Iterator[FromClause]:
    """The tables whose columns an outer join may fill with NULL."""
    if isinstance(from_, Join):
        yield from padded_by(from_.left, is_padded=is_padded or from_.full)
        yield from padded_by(from_.right, is_padded=is_padded or from_.full or from_.isouter)
    elif is_padded:
        yield from_


def _examine(statement: Select[*tuple[Any, ...]]) -> Shape:
    froms = statement.get_final_froms()
    whole = froms[0] if len(froms) == 1 and isinstance(froms[0], Table) else None
    if whole is not None:
        one: ColumnElement[Any] = literal_column("1")
        bare = statement.with_only_columns(one, maintain_column_froms=True)
        if _render(bare) != _render(select(one).select_from(whole)):
            whole = None
    is_padded = any(True for from_ in froms for _ in padded_by(from_))
    return Shape(_render(statement), is_padded, whole)


def _render(statement: Select[*tuple[Any, ...]]) -> str:
    return str(statement.compile(dialect=DIALECT))
