"""Pages: what a query string asks of a list, and the answer."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Self, TypeVar, overload

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationInfo,
    field_validator,
)
from pydantic_core import PydanticCustomError
from sqlalchemy import ColumnExpressionArgument, Row, select
from sqlalchemy import Select as AnySelect
from sqlalchemy.orm import Session
from sqlmodel.ext.asyncio.session import AsyncSession
from sqlmodel.sql.expression import SelectOfScalar

from neonkit._seams.pydantic import arguments_of
from neonkit._seams.sqlalchemy import listeners_of
from neonkit.db import (
    Bound,
    Condition,
    Conditions,
    bind,
    build_once,
    carrying_guard,
    current_scope,
    execute_beside,
    rows_by_name,
)
from neonkit.resources._cursor import CursorPolicy, decode_cursor, encode_cursor
from neonkit.resources._listing import (
    Listing,
    ListRequest,
    PageStart,
    fingerprint,
    listing_of,
    values_at,
    window_of,
)
from neonkit.resources._search import has_trigram, pattern_of
from neonkit.resources._sort_order import element_of, values_of
from neonkit.resources._total import Total, settle

Item = TypeVar("Item")

_PROCESS_POLICY = CursorPolicy.random()


class Page(BaseModel, Generic[Item]):
    """One page of a list.

    Attributes:
        items: the rows, in order.
        next_cursor: what `cursor` continues with; `None` on the last page.
        total: how many rows the whole list has, where that was asked for.
    """

    model_config = ConfigDict(arbitrary_types_allowed=True)  # a page of SQLAlchemy's rows

    items: list[Item]
    next_cursor: str | None
    total: int | None

    @field_validator("items", mode="before")
    @classmethod
    def _read_by_name(cls, items: object) -> object:
        """Give models dicts of rows: to ask rows for each attribute takes four times as long."""
        if not (isinstance(items, list) and items and isinstance(items[0], Row)):
            return items
        (item,) = arguments_of(cls) or (None,)
        if not (isinstance(item, type) and issubclass(item, BaseModel)):
            return items
        if item.model_config.get("extra", "ignore") != "ignore":
            return items  # attributes that it does not know are nothing to a model; keys are
        names = items[0]._fields
        return [dict(zip(names, row, strict=True)) for row in items]


class PageRequest(BaseModel):
    """What a query string asks of a list.

    Other parameters of the query are the route's own filters: refusing the unknown ones is left
    to whoever sees them all.

    Attributes:
        limit: the most items of a page.
        offset: how many rows to skip; deep offsets read what they skip, a cursor does not.
        cursor: the `next_cursor` of the page before; never together with `offset`.
        sort: keys by comma, a leading `-` for descending.
        q: text to find, literally and without case.
        total: whether to count.
    """

    model_config = ConfigDict(frozen=True)

    limit: int = Field(default=20, ge=1, le=100, description="The most items of a page.")
    offset: int | None = Field(
        default=None, ge=0, le=10_000, description="How many items to skip, instead of `cursor`."
    )
    cursor: str | None = Field(
        default=None, description="The `next_cursor` of the page before, instead of `offset`."
    )
    sort: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Keys by comma, a leading `-` for descending: `-created_at,id`.",
    )
    q: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="Text to find, literally and without case.",
    )
    total: Total = Field(default="none", description="Whether and how to count the whole list.")

    _policy: CursorPolicy = _PROCESS_POLICY

    @field_validator("q")
    @classmethod
    def _refuse_nul(cls, q: str | None) -> str | None:
        if q is not None and "\0" in q:
            raise PydanticCustomError("nul", "Text may not contain the character U+0000")
        return q

    @field_validator("cursor")
    @classmethod
    def _refuse_both(cls, cursor: str | None, info: ValidationInfo) -> str | None:
        if cursor is not None and info.data.get("offset") is not None:
            raise PydanticCustomError("cursor_and_offset", "Give a cursor or an offset, not both")
        return cursor

    def signed_by(self, policy: CursorPolicy) -> Self:
        """The same request, whose cursors are read and written with these keys.

        Without it the key is one that no other process knows, and that ends with this one.
        """
        copy = self.model_copy()
        copy._policy = policy  # noqa: SLF001  # its own copy
        return copy

    @property
    def policy(self) -> CursorPolicy:
        """The keys that its cursors are read and written with."""
        return self._policy


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
    statement: AnySelect[*tuple[Any, ...]],
    page: PageRequest,
    *,
    sort: Sequence[ColumnExpressionArgument[Any]],
    search: Sequence[ColumnExpressionArgument[Any]] = (),
    conditions: Sequence[Condition] = (),
) -> Page[Any]: ...


async def paginate(
    session: AsyncSession,
    statement: AnySelect[*tuple[Any, ...]],
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
        statement: what to list: entities, columns or both, with its joins, filters and loader
            options, without order or limit. A cursor is good for the same statement with the same
            values only: filter by `func.now()`, not by a time that each request takes anew.
        page: what the client asks.
        sort: the columns that it may sort by, the first by default; `col(Post.id).desc()` is
            descending where the client names no direction. A label names an expression.
        search: the text columns in which `q` is found; `search_index` declares their index.
        conditions: what must hold for anything to be listed, after the scope's guard, such as who
            calls; a page without rows takes a trip more to know.

    Returns:
        the entities or values where the statement selects one thing, else rows by name.

    Raises:
        ConditionFailedError: a condition without an error of its own did not hold.
        RequestInvalidError: a sort key off the list, or a `q` where nothing is searched.
        InvalidCursorError: the cursor is not ours, or of another query.
    """
    columns = [element_of(each) for each in (*sort, *(search if page.q is not None else ()))]
    listed = _listed(bind(statement, *columns), page, menu=len(sort))
    under = Conditions.of(conditions, current_scope().guard)
    window, values = _window(listed, page, under.bound)
    items, rows, expected = await session.run_sync(_read, listed, window, values, under)
    total = await _total(session, page, listed, rows, expected)
    cursor = _cursor(page, listed, rows)
    return Page.model_construct(items=items[: page.limit], next_cursor=cursor, total=total)


@dataclass(frozen=True)
class _Listed:
    """A list with its values.

    Attributes:
        listing: the list.
        values: of its parameters.
        query: the fingerprint of both.
        is_planned: whether its total is what the planner expects of it.
        is_lasting: whether the listing serves later requests too.
    """

    listing: Listing
    values: Mapping[str, Any]
    query: bytes
    is_planned: bool
    is_lasting: bool


def _listed(bound: Bound, page: PageRequest, *, menu: int) -> _Listed:
    asked = ListRequest(page.sort, menu, page.q is not None, has_trigram(page.q), page.total)
    listing = build_once(listing_of, bound, asked)
    pattern = {} if page.q is None else pattern_of(page.q)
    is_planned = page.total == "estimated" and listing.figure is None
    query = fingerprint(listing, bound, pattern)
    return _Listed(listing, {**bound.values, **pattern}, query, is_planned, bound.is_lasting)


def _window(
    listed: _Listed, page: PageRequest, under: Bound
) -> tuple[AnySelect[*tuple[Any, ...]], Mapping[str, Any]]:
    """The page's statement, and its parameters."""
    values = {**listed.values, **values_at(limit=page.limit, offset=page.offset)}
    nulls = None
    if page.cursor is not None:
        row = decode_cursor(page.cursor, listed.query, page.policy, listed.listing.order.types)
        nulls = frozenset(i for i, value in enumerate(row) if value is None)
        values |= values_of(row)
    place = PageStart(has_offset=bool(page.offset), nulls=nulls)
    lasting = under if listed.is_lasting else under._replace(is_lasting=False)
    window = build_once(window_of, lasting, listed.listing, place)
    return window, Bound((), values).beside(under).values


def _cursor(page: PageRequest, listed: _Listed, rows: Sequence[Sequence[Any]]) -> str | None:
    """What continues after the page, if anything does."""
    if len(rows) <= page.limit:
        return None
    listing = listed.listing
    keys = rows[page.limit - 1][listing.width : listing.width + len(listing.order.keys)]
    return encode_cursor(keys, listed.query, page.policy)


async def _total(
    session: AsyncSession,
    page: PageRequest,
    listed: _Listed,
    rows: Sequence[Sequence[Any]],
    expected: int | None,
) -> int | None:
    """How many rows the list has, if that was asked; the page's own statement mostly tells."""
    if page.total == "none":
        return None
    if page.total == "exact" and not (rows or page.offset or page.cursor):
        return 0
    listing = listed.listing
    told = rows[0][-1] if rows and listing.figure is not None else expected
    return await settle(session, listing.matching, listing.figure, told, listed.values)


def _is_idle(session: Session) -> bool:
    """Whether `Session.execute` would do nothing but execute: no flush, no listener's work."""
    has_changes = session.new or session.dirty or session.deleted
    return not has_changes and not listeners_of(session, "do_orm_execute")


def _read(
    session: Session,
    listed: _Listed,
    window: AnySelect[*tuple[Any, ...]],
    values: Mapping[str, Any],
    under: Conditions,
) -> tuple[list[Any], Sequence[Sequence[Any]], int | None]:
    """Read the page under its conditions, of which rows are proof; without rows they are asked."""
    with carrying_guard(session):
        read = _read_window(session, listed, window, values)
        if read[1]:
            under.judge([True] * len(under))
        elif under:
            asking = build_once(select, under.bound)
            under.judge(Session.execute(session, asking, under.bound.values).one())
    return read


def _read_window(
    session: Session,
    listed: _Listed,
    window: AnySelect[*tuple[Any, ...]],
    values: Mapping[str, Any],
) -> tuple[list[Any], Sequence[Sequence[Any]], int | None]:
    """What the user selected, the whole rows, and how many the planner expects where it plans."""
    # SQLModel's own `execute` is deprecated for its users, and its `exec` drops the further columns
    listing, expected = listed.listing, None
    if listed.is_planned:
        result, expected = execute_beside(session, window, listing.matching, values)
    elif listing.is_flat and _is_idle(session):
        connection = session.connection(bind_arguments={"clause": window})
        result = connection.execute(window, values)
    else:
        result = Session.execute(session, window, values)
    if listing.width == 1:
        rows = result.unique().all()
        return [row[0] for row in rows], rows, expected
    rows = result.all()
    names = rows[0]._fields[: listing.width] if rows else ()
    shown = rows_by_name(names, (row[: listing.width] for row in rows))
    return list(shown.all()), rows, expected
