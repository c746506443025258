"""Lists without a database: what a query string may say, cursors, and the SQL of a page."""

import string
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, ValidationError
from sqlalchemy import MetaData, Select
from sqlalchemy.orm import registry
from sqlmodel import Field, SQLModel, col, select

from neonkit.db import bind, build_once, rows_by_name
from neonkit.errors import ConfigurationError, InvalidCursorError, RequestInvalidError
from neonkit.resources import CursorPolicy, Page, PageRequest, search_index
from neonkit.resources._cursor import decode_cursor, encode_cursor
from neonkit.resources._listing import ListRequest, fingerprint, listing_of
from neonkit.resources._row_identity import element_of
from neonkit.resources._search import escape
from neonkit.resources._sort_order import Order, order_of, sort_keys

KEY = b"k" * 32
POLICY = CursorPolicy((KEY,))


class Colour(Enum):
    """A key that is compared by a name."""

    RED = 1
    BLUE = 2


class Local(SQLModel, registry=registry(metadata=MetaData())):
    """Tables that only this module knows."""


class Book(Local, table=True):
    """Something to list."""

    __table_args__ = (search_index("title", "blurb"),)

    id: int | None = Field(default=None, primary_key=True)
    title: str
    blurb: str
    price: Decimal | None = None
    created_at: datetime


class StrictBookRead(BaseModel):
    """The same, of a model that refuses unknown fields from clients."""

    model_config = ConfigDict(extra="forbid")

    id: int


class BookRead(SQLModel):
    """What a client sees of a book."""

    id: int
    title: str


offsets = st.integers(-1439, 1439).map(lambda minutes: timezone(timedelta(minutes=minutes)))
values = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False),
    st.text(),
    st.datetimes(),
    st.datetimes(timezones=offsets),
    st.dates(),
    st.times(),
    st.decimals(allow_nan=False),
    st.uuids(),
    st.sampled_from(Colour),
)


@given(st.lists(values, min_size=1, max_size=4), st.binary(max_size=40))
def test_a_cursor_gives_back_what_was_put_in(row: list[object], query: bytes) -> None:
    """Values keep their type and value on the way through the client, in a URL-safe string."""
    token = encode_cursor(row, query, POLICY)
    found = decode_cursor(token, query, POLICY, [type(value) for value in row])

    assert [(type(value), value) for value in found] == [(type(value), value) for value in row]
    assert set(token) <= set(string.ascii_letters + string.digits + "-_")


@given(st.lists(values, min_size=1, max_size=3), st.data())
def test_a_changed_cursor_is_refused(row: list[object], data: st.DataObject) -> None:
    """No character of a cursor can be replaced, added or left out."""
    token = encode_cursor(row, b"query", POLICY)
    place = data.draw(st.integers(0, len(token)))
    end = data.draw(st.integers(place, len(token)))
    forged = token[:place] + data.draw(st.text(max_size=5)) + token[end:]
    assume(forged != token)

    with pytest.raises(InvalidCursorError):
        decode_cursor(forged, b"query", POLICY, [type(value) for value in row])


@given(st.one_of(st.text(), st.binary().map(lambda raw: raw.hex()), st.just("A" * 100_000)))
def test_a_garbled_cursor_is_refused(token: str) -> None:
    """Whatever a client makes up is an error of ours, never of the decoder."""
    with pytest.raises(InvalidCursorError):
        decode_cursor(token, b"query", POLICY, [int])


def test_a_cursor_belongs_to_one_query_and_one_family_of_keys() -> None:
    """Another query or another key refuses it; a previous key still reads it."""
    token = encode_cursor([7], b"query", POLICY)
    rotated = CursorPolicy((b"n" * 32, KEY))

    assert decode_cursor(token, b"query", rotated, [int]) == [7]
    assert encode_cursor([7], b"query", rotated) != token
    for query, policy in ((b"other", POLICY), (b"query", CursorPolicy((b"n" * 32,)))):
        with pytest.raises(InvalidCursorError):
            decode_cursor(token, query, policy, [int])


def test_a_member_that_an_enum_has_lost_ends_its_cursors() -> None:
    """A cursor of an older release that names what is gone is invalid, not a crash."""

    class Fewer(Enum):
        BLUE = 2

    token = encode_cursor([Colour.RED], b"query", POLICY)

    with pytest.raises(InvalidCursorError):
        decode_cursor(token, b"query", POLICY, [Fewer])


def test_a_value_without_a_place_in_a_cursor_is_named() -> None:
    """A sort key of a type that cannot be written is the programmer's to see."""
    with pytest.raises(TypeError, match="bytearray"):
        encode_cursor([bytearray()], b"query", POLICY)


def test_keys_are_never_shown_and_never_short() -> None:
    """A policy prints how many keys it has, and refuses ones that can be guessed."""
    assert "kkk" not in repr(POLICY)
    assert "1" in repr(POLICY)
    for keys in ((), (b"short",), (KEY, b"")):
        with pytest.raises(ConfigurationError, match="16 bytes"):
            CursorPolicy(keys)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("limit", {"limit": "0"}),
        ("limit", {"limit": "101"}),
        ("limit", {"limit": "1e1"}),
        ("offset", {"offset": "-1"}),
        ("offset", {"offset": "10001"}),
        ("cursor", {"offset": "0", "cursor": "x"}),
        ("cursor", {"cursor": "x", "offset": "5"}),
        ("sort", {"sort": ""}),
        ("q", {"q": ""}),
        ("q", {"q": "x" * 201}),
        ("q", {"q": "x" * 10_000}),
        ("q", {"q": "a\0b"}),
        ("q", {"q": "\ud800"}),
        ("total", {"total": "all"}),
    ],
)
def test_a_query_string_is_refused_by_the_field_at_fault(
    field: str, given: dict[str, object]
) -> None:
    """What the contract does not allow is refused, with the name of the parameter."""
    with pytest.raises(ValidationError) as caught:
        PageRequest.model_validate(given)

    assert [error["loc"] for error in caught.value.errors()] == [(field,)]


def test_a_bare_query_string_asks_for_twenty_rows() -> None:
    """Without parameters: twenty rows from the start, in the usual order, not counted."""
    page = PageRequest()

    assert (page.limit, page.offset, page.cursor, page.sort, page.q, page.total) == (
        *(20, None, None, None, None),
        "none",
    )


def test_a_request_can_be_given_keys() -> None:
    """`signed_by` changes a copy, and the key does not show."""
    page = PageRequest(limit=3)
    signed = page.signed_by(POLICY)

    assert signed.policy == POLICY
    assert page.policy != POLICY
    assert signed.limit == 3
    assert "kkk" not in repr(signed)


@given(st.text(alphabet='\\%_ab"'))
def test_escaping_leaves_no_wildcard(text: str) -> None:
    """Every `%`, `_` and backslash has a backslash of its own before it."""
    escaped = iter(escape(text))
    read = [next(escaped) if character == "\\" else character for character in escaped]

    assert "".join(read) == text
    assert not any(
        c in "%_" for c in escape(text).replace(r"\\", "").replace(r"\%", "").replace(r"\_", "")
    )


def _order(menu: list[Any], requested: str | None) -> Order:
    keys = sort_keys([element_of(each) for each in menu])
    return order_of(keys, requested, identity=[element_of(col(Book.id))])


def _sort(requested: str | None) -> str:
    menu = [col(Book.created_at).desc(), col(Book.id), col(Book.title), col(Book.price)]
    order = _order(menu, requested)
    compiled = select(Book.id).order_by(*order.clauses())
    return str(compiled).partition("ORDER BY ")[2].replace("book.", "")


@pytest.mark.parametrize(
    ("requested", "expected"),
    [
        (None, "created_at DESC, id DESC"),
        ("created_at", "created_at ASC, id ASC"),
        ("-created_at", "created_at DESC, id DESC"),
        ("-created_at,id", "created_at DESC, id ASC"),
        ("title,-price", "title ASC, price DESC, id DESC"),
        ("-id", "id DESC"),
        ("id,-title", "id ASC"),
    ],
)
def test_every_order_is_made_total_by_the_id(requested: str | None, expected: str) -> None:
    """The id comes last, in the direction of the last key, unless it is there already."""
    assert _sort(requested) == expected


@pytest.mark.parametrize(
    "requested", ["blurb", "", "-", "--id", "id,", "id,id", "id,-id", "ID", " id", "id;", "1"]
)
def test_a_sort_key_off_the_list_is_refused(requested: str) -> None:
    """Only what the list names can be sorted by; the answer names it, and not what was sent."""
    with pytest.raises(RequestInvalidError) as caught:
        _sort(requested)

    [problem] = caught.value.errors
    assert problem.pointer == "/query/sort"
    assert "created_at, id, title, price" in problem.message


def test_keys_of_one_direction_are_compared_as_a_row() -> None:
    """What follows is one range of an index; a key that may be NULL takes the longer way."""
    plain = _order([col(Book.created_at)], "-created_at")
    nullable = _order([col(Book.price)], "price")

    assert "(book.created_at, book.id) < (" in str(plain.after(frozenset()))
    assert "book.price IS NULL" in str(nullable.after(frozenset()))


def test_an_unnamed_or_missing_order_is_the_programmers_fault() -> None:
    """A list needs keys, and keys need names that clients can use."""
    with pytest.raises(ValueError, match="at least one"):
        sort_keys([])
    with pytest.raises(ValueError, match="label"):
        sort_keys([col(Book.id) + 1])


def _fingerprint(query: Select[*tuple[Any, ...]], sort: str) -> bytes:
    bound = bind(query, element_of(col(Book.id)))
    asked = ListRequest(sort, sortable=1, is_searched=False, is_long=False, total="none")
    return fingerprint(build_once(listing_of, bound, asked), bound, {})


def test_a_fingerprint_tells_queries_apart() -> None:
    """Same structure, values and order: same fingerprint; anything else: another."""
    order, other = "id", "-id"
    queries = [
        (select(Book).where(col(Book.title) == "a"), order),
        (select(Book).where(col(Book.title) == "b"), order),
        (select(Book).where(col(Book.blurb) == "a"), order),
        (select(Book).where(col(Book.title).in_(["a", "b"])), order),
        (select(Book).where(col(Book.title).in_(["a", "c"])), order),
        (select(Book), other),
        (select(Book), order),
    ]
    prints = [_fingerprint(query, order) for query, order in queries]

    assert len(set(prints)) == len(queries)
    assert _fingerprint(select(Book).where(col(Book.title) == "a"), order) == prints[0]


def test_a_search_index_names_itself_and_its_operators() -> None:
    """One GIN index of trigrams over all searched columns, whose name is not another one's."""
    [index] = Book.__table__.indexes  # type: ignore[attr-defined]  # SQLModel hides it

    assert index.name == "ix_book_search"
    assert [column.name for column in index.columns] == ["title", "blurb"]
    assert index.dialect_options["postgresql"]["using"] == "gin"
    assert dict(index.dialect_options["postgresql"]["ops"]) == {
        "title": "gin_trgm_ops",
        "blurb": "gin_trgm_ops",
    }


def test_a_page_of_rows_is_read_by_name() -> None:
    """Models read SQLAlchemy's rows by their columns' names; what does not fit is still said."""
    rows = rows_by_name(("id", "title", "blurb"), [(1, "a", "secret"), (2, "b", "secret")])
    page = Page[Any].model_construct(items=list(rows), next_cursor=None, total=3)

    shown = Page[BookRead].model_validate(page, from_attributes=True).model_dump(mode="json")

    assert shown["items"] == [{"id": 1, "title": "a"}, {"id": 2, "title": "b"}]
    strict = Page[StrictBookRead].model_validate(page, from_attributes=True)
    assert [book.id for book in strict.items] == [1, 2]
    nameless = Page[Any].model_construct(
        items=list(rows_by_name(("id",), [(1,)])), next_cursor=None, total=None
    )
    with pytest.raises(ValidationError, match="title"):
        Page[BookRead].model_validate(nameless, from_attributes=True)


def test_a_page_of_rows_becomes_a_page_of_what_clients_see() -> None:
    """`Page[BookRead]` reads a page of books by their attributes, and drops the rest."""
    book = Book(id=1, title="a", blurb="secret", created_at=datetime.now(UTC))
    page = Page[Book].model_construct(items=[book], next_cursor=None, total=3)

    shown = Page[BookRead].model_validate(page, from_attributes=True).model_dump(mode="json")

    assert shown == {"items": [{"id": 1, "title": "a"}], "next_cursor": None, "total": 3}


def test_the_types_of_a_cursor_are_exact() -> None:
    """A date is not a datetime, and a whole float is not an integer."""
    row = [
        date(2030, 1, 2),
        datetime(2030, 1, 2),  # noqa: DTZ001  # a naive one on purpose
        1.0,
        1,
        True,
        time(1),
        UUID(int=1),
        Decimal("1.0"),
    ]
    found = decode_cursor(encode_cursor(row, b"", POLICY), b"", POLICY, [object] * len(row))

    assert [repr(value) for value in found] == [repr(value) for value in row]
