"""What all pages of one list have in common, and the part of it that a page shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sqlalchemy import ColumnElement, Integer, Select, Table, bindparam, literal_column, select
from sqlalchemy.dialects import postgresql
from sqlalchemy.types import TypeEngine

from neonkit.db import Bound
from neonkit.resources._search import found_in
from neonkit.resources._sort_order import Order, order_of, padded_by
from neonkit.resources._total import Total, total_column

DIALECT = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's
_LIMIT, _OFFSET = "neonkit_limit", "neonkit_offset"


@dataclass(frozen=True)
class ListRequest:
    """What a request asks of a list, its values apart.

    Attributes:
        sort: the keys, as the query string has them.
        menu: by how many columns clients may sort.
        is_searched: whether a text is looked for.
        is_long: whether it has a trigram.
        total: whether to count.
    """

    sort: str | None
    menu: int
    is_searched: bool
    is_long: bool
    total: Total


@dataclass(frozen=True, eq=False)
class Listing:
    """A list, whatever the values in it.

    Attributes:
        matching: all of it, in no order.
        order: of its rows.
        is_fenced: whether the order is hidden from the planner.
        figure: its total, as a column of the page; `None` where that cannot be.
        sql: `matching`, rendered: alike in every process, whatever objects it was built from.
        width: how many things it selects.
        is_flat: whether they are columns all, and no entities.
    """

    matching: Select[*tuple[Any, ...]]
    order: Order
    is_fenced: bool
    figure: ColumnElement[Any] | None
    sql: str
    width: int
    is_flat: bool


@dataclass(frozen=True)
class PageStart:
    """Where a page begins, its values apart.

    Attributes:
        has_offset: whether rows are skipped.
        nulls: after a row, the places of its keys that are NULL; `None` where it is after none.
    """

    has_offset: bool
    nulls: frozenset[int] | None


def listing_of(
    asked: ListRequest, statement: Select[*tuple[Any, ...]], *columns: ColumnElement[Any]
) -> Listing:
    """Work out what is listed.

    Args:
        asked: by the request.
        statement: what to list.
        columns: those that clients may sort by, then those that are searched.

    Raises:
        RequestInvalidError: a sort key off the list, or a `q` where nothing is searched.
    """
    matching = statement.order_by(None)
    if asked.is_searched:
        matching = matching.where(found_in(columns[asked.menu :], is_long=asked.is_long))
    froms = matching.get_final_froms()
    has_outer_join = any(True for from_ in froms for _ in padded_by(from_))
    return Listing(
        matching,
        order_of(matching, columns[: asked.menu], asked.sort, has_outer_join=has_outer_join),
        asked.is_long,
        total_column(matching, asked.total, whole=_whole_table_of(matching)),
        _render(matching),
        len(statement.column_descriptions),
        all(map(_is_column, statement.column_descriptions)),
    )


def window_of(
    listing: Listing, place: PageStart, *conditions: ColumnElement[bool]
) -> Select[*tuple[Any, ...]]:
    """The rows of a page with their sort keys and the total; `values_at` are its parameters."""
    window = listing.matching
    if place.nulls is not None:
        window = window.where(listing.order.after(place.nulls))
    if place.has_offset:
        window = window.offset(bindparam(_OFFSET, type_=Integer))
    window = window.order_by(*listing.order.clauses(is_fenced=listing.is_fenced))
    window = window.limit(bindparam(_LIMIT, type_=Integer))
    if conditions:
        window = window.where(*conditions)
    figures = () if listing.figure is None else (listing.figure,)
    return window.add_columns(*listing.order.expressions, *figures)


def values_at(*, limit: int, offset: int | None) -> dict[str, int]:
    """The parameters of `window_of`: one row more than a page has tells whether there is more."""
    return {_LIMIT: limit + 1} | ({_OFFSET: offset} if offset else {})


def fingerprint(listing: Listing, bound: Bound, given: Mapping[str, Any]) -> bytes:
    """What a cursor is bound to: the list with its values, and the order.

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
