"""Listings: a list apart from its values, and the window of it that a page shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, Table, bindparam, literal_column, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from neonkit._seams.sqlalchemy import is_limited
from neonkit.db import Bound
from neonkit.resources._listed_rows import Statement, listed_rows
from neonkit.resources._row_identity import froms_of, padded_by
from neonkit.resources._search import found_in
from neonkit.resources._sort_order import Order, order_of, sort_keys
from neonkit.resources._total import Total, total_column

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's
_LIMIT, _OFFSET = "neonkit_limit", "neonkit_offset"


@dataclass(frozen=True)
class ListRequest:
    """A request of a list, its values apart.

    Attributes:
        sort: the keys, as the query string has them.
        sortable: by how many columns clients may sort.
        is_searched: true where a text is looked for.
        is_long: true where it has a trigram.
        total: how to count.
    """

    sort: str | None
    sortable: int
    is_searched: bool
    is_long: bool
    total: Total


@dataclass(frozen=True, eq=False)
class Listing:
    """A list, whatever the values in it.

    Attributes:
        matching: all of it, in no order.
        order: of its rows.
        is_fenced: true where the order is hidden from the planner.
        total: a column of the page that holds the total; `None` where there can be none.
        sql: `matching`, rendered: alike in every process, whatever objects it was built from.
        width: how many things it selects.
        is_flat: true where they are columns all, and no entities.
    """

    matching: Select[*tuple[Any, ...]]
    order: Order
    is_fenced: bool
    total: ColumnElement[Any] | None
    sql: str
    width: int
    is_flat: bool


@dataclass(frozen=True)
class PageStart:
    """Where a page begins, its values apart.

    Attributes:
        has_offset: true where rows are skipped.
        nulls: after a row, the places of its keys that are NULL; `None` where it is after none.
    """

    has_offset: bool
    nulls: frozenset[int] | None


def listing_of(asked: ListRequest, statement: Statement, *columns: ColumnElement[Any]) -> Listing:
    """Work out a list from a statement.

    Args:
        asked: by the request.
        statement: whatever is listed.
        columns: those that clients may sort by, then those that are searched.

    Raises:
        RequestInvalidError: a sort key off the list, or a `q` where nothing is searched.
        ValueError: a statement or a sort key that cannot be paged rightly.
    """
    keys = sort_keys(columns[: asked.sortable])
    sorted_by = tuple(key.expression for key in keys)
    searched = columns[asked.sortable :]
    if asked.is_searched and isinstance(statement, Select) and not is_limited(statement):
        rows = listed_rows(_search(statement, asked, searched), sorted_by)
        matching = rows.statement
    else:
        rows = listed_rows(statement, (*sorted_by, *searched))
        matching = rows.statement
        if asked.is_searched:
            matching = _search(matching, asked, rows.columns[asked.sortable :])
    placed = [key.of(column) for key, column in zip(keys, rows.columns, strict=False)]
    padded = {table for from_ in froms_of(matching) for table in padded_by(from_)}
    return Listing(
        matching,
        order_of(placed, asked.sort, identity=rows.identity, padded=padded),
        asked.is_long,
        total_column(matching, asked.total, whole=_whole_table_of(matching)),
        _render(matching),
        len(matching.column_descriptions),
        all(map(_is_column, matching.column_descriptions)),
    )


def _search(
    statement: Select[*tuple[Any, ...]], asked: ListRequest, columns: Sequence[ColumnElement[Any]]
) -> Select[*tuple[Any, ...]]:
    return statement.where(found_in(columns, is_long=asked.is_long))


def window_of(
    listing: Listing, place: PageStart, *conditions: ColumnElement[bool]
) -> Select[*tuple[Any, ...]]:
    """The rows of a page with their sort keys and the total; its parameters are `values_at`."""
    window = listing.matching
    if place.nulls is not None:
        window = window.where(listing.order.after(place.nulls))
    if place.has_offset:
        window = window.offset(bindparam(_OFFSET, type_=Integer))
    window = window.order_by(*listing.order.clauses(is_fenced=listing.is_fenced))
    window = window.limit(bindparam(_LIMIT, type_=Integer))
    if conditions:
        window = window.where(*conditions)
    totals = () if listing.total is None else (listing.total,)
    return window.add_columns(*listing.order.expressions, *totals)


def values_at(*, limit: int, offset: int | None) -> dict[str, int]:
    """The parameters of `window_of`: one row more than a page has tells whether there is more."""
    return {_LIMIT: limit + 1} | ({_OFFSET: offset} if offset else {})


def fingerprint(listing: Listing, bound: Bound, given: Mapping[str, Any]) -> bytes:
    """The hash that a cursor is bound to: of the list with its values, and of the order.

    Args:
        listing: the list.
        bound: the statement that it was made of.
        given: the values of what was added to that.
    """
    values: tuple[Any, ...] = tuple(bound.values.values())
    if not bound.is_lasting:
        values = tuple(sorted(listing.matching.compile(dialect=DIALECT).params.items()))
    text = repr((str(listing.order), listing.sql, *values, *given.values()))
    return sha256(text.encode("utf-8", "surrogatepass")).digest()


def _is_column(described: Mapping[str, Any]) -> bool:
    return isinstance(described["type"], TypeEngine)


def _whole_table_of(statement: Select[*tuple[Any, ...]]) -> Table | None:
    """The table that a statement selects all rows of, if it does."""
    froms = statement.get_final_froms()
    if len(froms) != 1 or not isinstance(froms[0], Table):
        return None
    one: ColumnElement[Any] = literal_column("1")
    bare = statement.with_only_columns(one, maintain_column_froms=True)
    is_whole = _render(bare) == _render(select(one).select_from(froms[0]))
    return froms[0] if is_whole else None


def _render(statement: Select[*tuple[Any, ...]]) -> str:
    return str(statement.compile(dialect=DIALECT))
