"""Reading a page of a list: one statement, one round trip."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar, overload

from sqlalchemy import ColumnExpressionArgument, CompoundSelect, select
from sqlalchemy import Select as AnySelect
from sqlalchemy.orm import Session
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from neonkit._seams.sqlalchemy import listeners_of
from neonkit.db import (
    Bound,
    Condition,
    Conditions,
    bind,
    borrowed_connection,
    build_once,
    carrying_guard,
    current_scope,
    execute_beside,
    rows_by_name,
)
from neonkit.resources._cursor import decode_cursor, encode_cursor
from neonkit.resources._listing import (
    Listing,
    ListRequest,
    PageStart,
    fingerprint,
    listing_of,
    values_at,
    window_of,
)
from neonkit.resources._page import Page, PageRequest
from neonkit.resources._row_identity import element_of
from neonkit.resources._search import has_trigram, pattern_of
from neonkit.resources._sort_order import values_of
from neonkit.resources._total import settle
from neonkit.resources._turns import note_rows, turn_of

Item = TypeVar("Item")


@overload
async def paginate(
    session: AsyncSession,
    statement: SelectOfScalar[Item],
    page: PageRequest,
    *,
    sort: Sequence[ColumnExpressionArgument[Any]],
    search: Sequence[ColumnExpressionArgument[Any]] = (),
    conditions: Sequence[Condition] = (),
) -> Page[Item]: ...


@overload
async def paginate(
    session: AsyncSession,
    statement: AnySelect[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]],
    page: PageRequest,
    *,
    sort: Sequence[ColumnExpressionArgument[Any]],
    search: Sequence[ColumnExpressionArgument[Any]] = (),
    conditions: Sequence[Condition] = (),
) -> Page[Any]: ...


async def paginate(
    session: AsyncSession,
    statement: AnySelect[*tuple[Any, ...]] | CompoundSelect[*tuple[Any, ...]],
    page: PageRequest,
    *,
    sort: Sequence[ColumnExpressionArgument[Any]],
    search: Sequence[ColumnExpressionArgument[Any]] = (),
    conditions: Sequence[Condition] = (),
) -> Page[Any]:
    """Read one page of a statement, with its total if asked for, in one round trip.

    The planner's estimate of a filtered list is a trip of its own, except with psycopg, and so is
    the total of a page that is empty because it lies past the end. Rows that are inserted or
    deleted while somebody pages by cursor make no other row appear twice or go missing.

    Args:
        session: what to read with.
        statement: the list: entities, columns or both, with joins, filters, groups, DISTINCT and
            loader options; a set operation. Its own order matters only beside its own limit. One
            entity is listed once, however often a join repeats it. A cursor is good for the same
            statement with the same values only: filter by `func.now()`, not by a time that each
            request takes anew.
        page: the client's request.
        sort: the columns that it may sort by, the first by default; `col(Post.id).desc()` is
            descending where the client names no direction. A label names an expression.
        search: the text columns in which `q` is found; `search_index` declares their index.
        conditions: must hold for anything to be listed, after the scope's guard, such as who
            calls; a page without rows takes a trip more to know.

    Returns:
        the entities or values where the statement selects one thing, else rows by name.

    Raises:
        ConditionFailedError: a condition without an error of its own did not hold.
        RequestInvalidError: a sort key off the list, or a `q` where nothing is searched.
        InvalidCursorError: the cursor is not ours, or of another query.
        OverloadedError: a request that takes a read of the whole table, of which others have too
            many: a `q` without a trigram, or `total=exact` of somebody who is not signed in. Or a
            page of more than 512 KiB, as the list's rows were when last seen: one at a time.
        ValueError: a statement or a column to sort by that cannot be paged rightly, whatever is in
            the tables; the message says how it can.
    """
    columns = [element_of(each) for each in (*sort, *(search if page.q is not None else ()))]
    listed = _listed(bind(statement, *columns), page, sortable=len(sort))
    required = Conditions.of(conditions, current_scope().guard)
    window, values = _window(listed, page, required.bound)
    async with turn_of(page, listed.listing):
        items, rows, expected = await session.run_sync(_read, listed, window, values, required)
        total = await _total(session, page, listed, rows, expected)
    note_rows(listed.listing, rows)
    cursor = _cursor(page, listed, rows)
    return Page.model_construct(items=items[: page.limit], next_cursor=cursor, total=total)


@dataclass(frozen=True)
class _Listed:
    """A list with its values.

    Attributes:
        listing: the list.
        values: of its parameters.
        query: the fingerprint of both.
        is_planned: true where its total is the planner's estimate.
        is_lasting: true where the listing serves later requests too.
    """

    listing: Listing
    values: Mapping[str, Any]
    query: bytes
    is_planned: bool
    is_lasting: bool


def _listed(bound: Bound, page: PageRequest, *, sortable: int) -> _Listed:
    asked = ListRequest(page.sort, sortable, page.q is not None, has_trigram(page.q), page.total)
    listing = build_once(listing_of, bound, asked)
    pattern = {} if page.q is None else pattern_of(page.q)
    is_planned = page.total == "estimated" and listing.total is None
    query = fingerprint(listing, bound, pattern)
    return _Listed(listing, {**bound.values, **pattern}, query, is_planned, bound.is_lasting)


def _window(
    listed: _Listed, page: PageRequest, required: Bound
) -> tuple[AnySelect[*tuple[Any, ...]], Mapping[str, Any]]:
    """The page's statement, and its parameters."""
    values = {**listed.values, **values_at(limit=page.limit, offset=page.offset)}
    nulls = None
    if page.cursor is not None:
        row = decode_cursor(page.cursor, listed.query, page.policy, listed.listing.order.types)
        nulls = frozenset(i for i, value in enumerate(row) if value is None)
        values |= values_of(row)
    place = PageStart(has_offset=bool(page.offset), nulls=nulls)
    lasting = required if listed.is_lasting else required._replace(is_lasting=False)
    window = build_once(window_of, lasting, listed.listing, place)
    return window, Bound((), values).beside(required).values


def _cursor(page: PageRequest, listed: _Listed, rows: Sequence[Sequence[Any]]) -> str | None:
    """The cursor of the next page, if there is one."""
    listing = listed.listing
    has_more = len(rows) > page.limit
    if not rows or not (has_more or listing.order.is_untyped):
        return None
    last = rows[: page.limit][-1]
    keys = last[listing.width : listing.width + len(listing.order.keys)]
    cursor = encode_cursor(keys, listed.query, page.policy)  # refuses a value of no known type
    return cursor if has_more else None


async def _total(
    session: AsyncSession,
    page: PageRequest,
    listed: _Listed,
    rows: Sequence[Sequence[Any]],
    expected: int | None,
) -> int | None:
    """The number of rows of the list, if that was asked; the page's own statement mostly tells."""
    if page.total == "none":
        return None
    if page.total == "exact" and not (rows or page.offset or page.cursor):
        return 0
    listing = listed.listing
    told = rows[0][-1] if rows and listing.total is not None else expected
    return await settle(session, listing.matching, listing.total, told, listed.values)


def _is_idle(session: Session) -> bool:
    """True where `Session.execute` would do nothing but execute: no flush, no listener's work."""
    has_changes = session.new or session.dirty or session.deleted
    return not has_changes and not listeners_of(session, "do_orm_execute")


def _read(
    session: Session,
    listed: _Listed,
    window: AnySelect[*tuple[Any, ...]],
    values: Mapping[str, Any],
    required: Conditions,
) -> tuple[list[Any], Sequence[Sequence[Any]], int | None]:
    """Read the page under its conditions, of which rows are proof; without rows they are asked."""
    with carrying_guard(session):
        read = _read_window(session, listed, window, values)
        if read[1]:
            required.judge([True] * len(required))
        elif required:
            asking = build_once(select, required.bound)
            required.judge(Session.execute(session, asking, required.bound.values).one())
    return read


def _read_window(
    session: Session,
    listed: _Listed,
    window: AnySelect[*tuple[Any, ...]],
    values: Mapping[str, Any],
) -> tuple[list[Any], Sequence[Sequence[Any]], int | None]:
    """The things selected, the whole rows, and the planner's estimate where it is asked for."""
    # SQLModel's own `execute` is deprecated for its users, and its `exec` drops the further columns
    listing, expected = listed.listing, None
    keys_end = listing.width + len(listing.order.keys)
    if listed.is_planned:
        result, expected = execute_beside(session, window, listing.matching, values)
    elif listing.is_flat and _is_idle(session):
        connection = borrowed_connection(session, clause=window)
        result = connection.execute(window, values)
    else:
        result = Session.execute(session, window, values)
    if not listing.is_flat:
        result = result.unique(lambda row: tuple(row[listing.width : keys_end]))
    rows = result.all()
    if listing.width == 1:
        return [row[0] for row in rows], rows, expected
    names = rows[0]._fields[: listing.width] if rows else ()
    shown = rows_by_name(names, (row[: listing.width] for row in rows))
    return list(shown.all()), rows, expected
