"""Pages of every kind of statement, on a real PostgreSQL and both drivers: all rows, each once."""

import enum
import random
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, TypeAlias, get_args
from uuid import UUID

import pytest
import sqlalchemy as sa
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy.dialects import postgresql
from sqlalchemy.dialects.postgresql import distinct_on
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    Session,
    aliased,
    contains_eager,
    joinedload,
    mapped_column,
    relationship,
    selectinload,
)
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database
from neonkit.db import Driver
from neonkit.resources import PageRequest, paginate


class Base(DeclarativeBase):
    """Tables that only this module knows."""


class Kind(enum.Enum):
    """Of books; its names are in another order than its values."""

    NOVEL = "z"
    ESSAY = "a"


class Point(sa.types.UserDefinedType[str]):
    """A type that PostgreSQL cannot order."""

    cache_ok = True

    def get_col_spec(self, **_options: object) -> str:
        """The column's type."""
        return "POINT"


class Shouted(sa.types.TypeDecorator[Any]):
    """Text whose values in Python are of a type that no cursor knows."""

    impl = sa.String
    cache_ok = True

    def process_bind_param(self, value: list[str] | None, dialect: object) -> str | None:  # noqa: ARG002  # SQLAlchemy's
        """Python to SQL."""
        return None if value is None else value[0]

    def process_result_value(self, value: Any, dialect: object) -> Any:  # noqa: ANN401, ARG002  # SQLAlchemy's
        """SQL to Python."""
        return None if value is None else [value]


class Author(Base):
    """Somebody with several of everything."""

    __tablename__ = "lr_author"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]
    town: Mapped[str | None]
    facts: Mapped[Any] = mapped_column(sa.JSON, nullable=True)
    books: Mapped[list["Book"]] = relationship(back_populates="author")
    tags: Mapped[list[int]] = mapped_column(postgresql.ARRAY(sa.Integer), default=list)


class Book(Base):
    """Something of an author's, or of nobody's."""

    __tablename__ = "lr_book"
    id: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int | None] = mapped_column(sa.ForeignKey("lr_author.id"))
    kind: Mapped[Kind | None]
    price: Mapped[int | None]
    author: Mapped[Author | None] = relationship(back_populates="books")


class Seat(Base):
    """A row with a key of two columns."""

    __tablename__ = "lr_seat"
    row: Mapped[int] = mapped_column(primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    author_id: Mapped[int | None] = mapped_column(sa.ForeignKey("lr_author.id"))


class Sample(Base):
    """A row of every type that a cursor carries."""

    __tablename__ = "lr_sample"
    id: Mapped[int] = mapped_column(primary_key=True)
    small: Mapped[int | None] = mapped_column(sa.SmallInteger)
    big: Mapped[int | None] = mapped_column(sa.BigInteger)
    exact: Mapped[Decimal | None] = mapped_column(sa.Numeric(30, 20))
    rough: Mapped[float | None] = mapped_column(sa.Numeric(30, 20, asdecimal=False))
    real: Mapped[float | None] = mapped_column(sa.REAL)
    double: Mapped[float | None] = mapped_column(sa.Double)
    rounded: Mapped[Decimal | None] = mapped_column(sa.Float(asdecimal=True))
    text: Mapped[str | None] = mapped_column(sa.Text)
    padded: Mapped[str | None] = mapped_column(sa.CHAR(4))
    shouted: Mapped[Any] = mapped_column(Shouted, nullable=True)
    kind: Mapped[Kind | None]
    kind_text: Mapped[Kind | None] = mapped_column(sa.Enum(Kind, native_enum=False))
    day: Mapped[date | None]
    clock: Mapped[time | None]
    moment: Mapped[datetime | None] = mapped_column(sa.DateTime(timezone=True))
    local: Mapped[datetime | None]
    span: Mapped[timedelta | None]
    uuid: Mapped[UUID | None]
    raw: Mapped[bytes | None] = mapped_column(sa.LargeBinary)
    is_so: Mapped[bool | None]


VALUES: dict[str, list[Any]] = {
    "small": [-1, 0, 32_767],
    "big": [-(2**63), 2**53 + 1, 2**53 + 2, 2**63 - 1],
    "exact": [Decimal("0.1"), Decimal("0.10000000000000000001"), Decimal("0.10000000000000000002")],
    "rough": [Decimal("0.1"), Decimal("0.10000000000000000001"), Decimal("0.10000000000000000002")],
    "real": [0.1, 0.2, 1e20, float("inf"), float("nan")],
    "double": [0.1, 0.30000000000000004, 0.3, float("-inf"), float("nan")],
    "rounded": [Decimal("0.1"), Decimal("0.1234567890123456"), Decimal("0.1234567890123457")],
    "text": ["", "a", "A", "é", " a", "a ", "'", "%"],
    "padded": ["a", "a b", "", "abcd"],
    "shouted": [["a"], ["B"], [""]],
    "kind": list(Kind),
    "kind_text": list(Kind),
    "day": [date(1, 1, 1), date(2030, 1, 1), date(9999, 12, 31)],
    "clock": [time(0), time(23, 59, 59, 999_999)],
    "moment": [datetime(2030, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, 0, 0, 0, 1, tzinfo=UTC)],
    "local": [datetime(2030, 1, 1), datetime(2030, 1, 1, 0, 0, 0, 1)],  # noqa: DTZ001  # on purpose
    "span": [timedelta(0), timedelta(days=-3), timedelta(days=40, microseconds=1)],
    "uuid": [UUID(int=0), UUID(int=2**128 - 1)],
    "raw": [b"", b"\x00", b"\xff\x00"],
    "is_so": [True, False],
}


class Odd(Base):
    """A row of types that no list can be sorted by."""

    __tablename__ = "lr_odd"
    id: Mapped[int] = mapped_column(primary_key=True)
    doc: Mapped[Any] = mapped_column(sa.JSON, nullable=True)
    binary_doc: Mapped[Any] = mapped_column(postgresql.JSONB, nullable=True)
    place: Mapped[str | None] = mapped_column(Point)
    numbers: Mapped[list[int] | None] = mapped_column(postgresql.ARRAY(sa.Integer))
    address: Mapped[Any] = mapped_column(postgresql.INET, nullable=True)
    span: Mapped[Any] = mapped_column(postgresql.INT4RANGE, nullable=True)


class Person(Base):
    """A base of joined inheritance."""

    __tablename__ = "lr_person"
    id: Mapped[int] = mapped_column(primary_key=True)
    kind: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "person"}  # noqa: RUF012  # SQLAlchemy's


class Clerk(Person):
    """Its heir."""

    __tablename__ = "lr_clerk"
    id: Mapped[int] = mapped_column(sa.ForeignKey("lr_person.id"), primary_key=True)
    desk: Mapped[int | None]
    __mapper_args__ = {"polymorphic_identity": "clerk"}  # noqa: RUF012  # SQLAlchemy's


AnyStatement: TypeAlias = sa.Select[*tuple[Any, ...]] | sa.CompoundSelect[*tuple[Any, ...]]
BARE = sa.Table("lr_bare", Base.metadata, sa.Column("a", sa.Integer), sa.Column("doc", sa.JSON))
A, B, S = Author, Book, Seat
Writer = aliased(Author)
LATER = aliased(Author, sa.select(Author).where(Author.id > 1).subquery())
TWICE = aliased(Author, sa.union_all(sa.select(Author), sa.select(Author)).subquery())
BOOKS = sa.func.count(Book.id).label("books")
PRICES = (
    sa.select(Book.author_id, sa.func.sum(Book.price).label("worth"))
    .group_by(Book.author_id)
    .subquery()
)
RICH = sa.select(Author.id, Author.town).where(Author.id > 1).cte("rich")
RANK = sa.func.row_number().over(partition_by=Book.author_id, order_by=Book.id).label("place")
COUNT_OF_BOOKS = (
    sa.select(sa.func.count()).where(Book.author_id == Author.id).scalar_subquery().label("books")
)
UNION: sa.CompoundSelect[Any] = sa.union(sa.select(Author.town), sa.select(Author.name))
UNION_ALL = sa.union_all(sa.select(Book.price), sa.select(Book.author_id))
TREE = sa.select(sa.literal(1).label("n")).cte("tree", recursive=True)
TREE = TREE.union_all(sa.select(TREE.c.n + 1).where(TREE.c.n < 9))

LISTS: dict[str, tuple[Any, Sequence[Any]]] = {
    "a to-many join": (sa.select(A).join(A.books), [A.name, A.id]),
    "a filtered to-many join": (
        sa.select(A).join(A.books).where(B.price > 0),
        [A.town, A.name],
    ),
    "two to-many joins": (sa.select(A).join(A.books).join(S, S.author_id == A.id), [A.id]),
    "an implicit join": (sa.select(A).where(A.id == B.author_id), [A.town]),
    "a to-one join, sorted by the far side": (sa.select(B).join(B.author), [A.name, B.price]),
    "a to-one outer join": (sa.select(B).outerjoin(B.author), [A.town, B.kind]),
    "to-one and to-many, sorted by the to-one": (
        sa.select(B).join(B.author).join(S, S.author_id == A.id),
        [A.town, B.id],
    ),
    "an alias, joined": (sa.select(Writer).join(Writer.books), [Writer.name.desc()]),
    "entities of a distinct join": (sa.select(A.id, A.name).join(A.books).distinct(), [A.name]),
    "distinct by what its key decides": (
        sa.select(A.id, A.name).join(A.books).distinct(),
        [A.town],
    ),
    "distinct values": (sa.select(A.town).distinct(), [A.town]),
    "distinct pairs": (sa.select(B.kind, B.price).distinct(), [B.kind, B.price]),
    "distinct pairs with an entity": (sa.select(B, A.town).join(A).distinct(), [B.price, A.town]),
    "DISTINCT ON": (
        sa.select(A).ext(distinct_on(A.town)).order_by(A.town, A.id),
        [A.town, A.name],
    ),
    "DISTINCT ON columns": (
        sa.select(B.price, B.id).ext(distinct_on(B.author_id)).order_by(B.author_id, B.id),
        [B.price, B.kind],
    ),
    "GROUP BY": (sa.select(A.town, sa.func.count().label("n")).group_by(A.town), [A.town]),
    "GROUP BY, sorted by its sum": (
        sa.select(B.author_id, sa.func.sum(B.price).label("worth")).group_by(B.author_id),
        [sa.func.sum(B.price).label("worth"), B.author_id],
    ),
    "GROUP BY a label": (
        sa.select(sa.func.lower(A.town).label("t"), BOOKS).join(A.books).group_by("t"),
        [sa.func.lower(A.town).label("t"), BOOKS],
    ),
    "GROUP BY what is not selected": (
        sa.select(sa.func.count().label("n")).select_from(A).group_by(A.town),
        [sa.func.count().label("n")],
    ),
    "GROUP BY and HAVING": (
        sa.select(A, BOOKS).join(A.books).group_by(A.id).having(sa.func.count(B.id) > 1),
        [BOOKS, A.name],
    ),
    "GROUP BY of an outer join": (
        sa.select(A, BOOKS).outerjoin(A.books).group_by(A.id),
        [BOOKS.desc(), A.town],
    ),
    "a grouped entity": (
        sa.select(A).join(A.books).group_by(A.id).having(sa.func.count(B.id) > 1),
        [A.town],
    ),
    "a grouped entity, sorted by its count": (
        sa.select(A).outerjoin(A.books).group_by(A.id),
        [BOOKS],
    ),
    "ROLLUP": (
        sa.select(A.town, sa.func.count().label("n")).group_by(sa.func.rollup(A.town)),
        [A.town],
    ),
    "an aggregate alone": (sa.select(sa.func.count(B.id).label("n")), [BOOKS]),
    "a subquery per row": (sa.select(A, COUNT_OF_BOOKS), [COUNT_OF_BOOKS, A.name]),
    "a window": (sa.select(B.id, RANK), [RANK, B.id]),
    "a window, sorted by a column": (sa.select(B.id, RANK), [B.id, B.kind]),
    "sorted by a window": (sa.select(B.id), [RANK, B.id]),
    "an entity sorted by a window": (sa.select(B), [RANK, B.id]),
    "sorted by an aggregate of a window": (
        sa.select(B.kind),
        [sa.func.count().over(partition_by=B.kind).label("n"), B.id],
    ),
    "UNION": (UNION, [UNION.selected_columns[0]]),
    "UNION, by the name of its column": (UNION, [sa.column("town")]),
    "UNION ALL with copies": (UNION_ALL, [UNION_ALL.selected_columns[0]]),
    "INTERSECT": (sa.intersect(sa.select(A.id), sa.select(B.author_id)), [A.id]),
    "EXCEPT of a limited one": (
        sa.except_(sa.select(A.id), sa.select(B.author_id)).order_by("id").limit(3),
        [A.id],
    ),
    "a UNION selected from": (
        sa.select(UNION.subquery("u").c.town),
        [sa.literal_column("u.town").label("t")],
    ),
    "a CTE": (sa.select(RICH.c.id, RICH.c.town), [RICH.c.town]),
    "a CTE without its key": (sa.select(RICH.c.town), [RICH.c.town]),
    "a recursive CTE": (sa.select(TREE.c.n), [TREE.c.n]),
    "entities joined to a CTE": (
        sa.select(A).join(RICH, RICH.c.id == A.id),
        [A.town, RICH.c.town.label("t")],
    ),
    "a joined subquery's columns": (
        sa.select(A.name, PRICES.c.worth).outerjoin(PRICES, PRICES.c.author_id == A.id),
        [PRICES.c.worth, A.name],
    ),
    "an entity of a subquery": (
        sa.select(LATER),
        [LATER.town],
    ),
    "a function in FROM": (
        sa.select(sa.func.generate_series(1, 7).column_valued("n")),
        [sa.column("n")],
    ),
    "a function of sets": (
        sa.select(A.id, sa.func.unnest(A.tags).label("tag")),
        [A.id, sa.func.unnest(A.tags).label("tag")],
    ),
    "a limit of its own": (sa.select(A).order_by(A.name.desc(), A.id).limit(4), [A.town, A.id]),
    "a limit of its own, of pairs": (
        sa.select(B.id, A.town).join(A).order_by(B.price, B.id).limit(5).offset(1),
        [A.town, B.id],
    ),
    "a column of repeated values": (sa.select(B.price), [B.price]),
    "a column of the many side": (sa.select(A.name).join(A.books), [A.name]),
    "a column without a type in Python": (sa.select(A.facts), [A.name]),
    "pairs of entities": (sa.select(A, B).join(A.books), [A.name, B.price]),
    "pairs of entities, outer": (sa.select(A, B).outerjoin(A.books), [B.price, A.town]),
    "pairs of a full join": (
        sa.select(A.name, B.id).select_from(sa.join(A, B, A.id == B.author_id, full=True)),
        [A.name, B.id],
    ),
    "a cross join": (sa.select(A.id, S.row).join(S, sa.true()), [S.row]),
    "a key of two columns": (sa.select(S), [S.number]),
    "a key of two columns, multiplied": (sa.select(S).join(B, B.author_id == S.author_id), [S.row]),
    "a joined heir": (sa.select(Clerk), [Clerk.desk, Clerk.kind]),
    "a base of heirs": (sa.select(Person), [Person.kind]),
    "a table without a key": (sa.select(BARE), [BARE.c.a]),
    "an outer join with its far side first": (
        sa.select(B.id, A.id.label("author")).select_from(A).outerjoin(B),
        [B.id],
    ),
    "relations loaded beside": (sa.select(A).options(selectinload(A.books)).join(A.books), [A.id]),
    "relations joined beside": (sa.select(A).options(joinedload(A.books)), [A.town]),
    "relations joined beside a join": (sa.select(A).options(joinedload(A.books)).join(S), [A.town]),
    "relations joined beside a column": (
        sa.select(A, A.town).options(joinedload(A.books)),
        [A.town],
    ),
    "a to-one relation from the statement": (
        sa.select(B).join(B.author).options(contains_eager(B.author)),
        [A.name],
    ),
}


both_drivers = pytest.mark.parametrize("database_driver", get_args(Driver))


@pytest.fixture
async def session(db: Database) -> AsyncIterator[AsyncSession]:
    """A session that has the tables, and loses them."""
    async with db.session() as session:
        connection = await session.connection()
        await connection.run_sync(Base.metadata.create_all)
        yield session
        await session.rollback()


async def _fill(session: AsyncSession, dice: random.Random, many: int) -> None:
    """Rows with ties and NULLs everywhere."""
    authors = [
        Author(
            name=dice.choice("abc"),
            town=dice.choice(["Ulm", "ulm", "Bonn", None]),
            facts=dice.choice([None, {"x": 1}, [1]]),
            tags=dice.choice([[], [1], [2, 2, 1]]),
        )
        for _ in range(many)
    ]
    session.add_all(authors)
    await session.flush()
    owners = [*authors, None]
    session.add_all(
        Book(
            author=dice.choice(owners),
            kind=dice.choice([*Kind, None]),
            price=dice.choice([1, 1, 2, None]),
        )
        for _ in range(2 * many)
    )
    session.add_all(
        Seat(row=n % 3, number=n, author_id=dice.choice(authors).id) for n in range(many and 5)
    )
    session.add_all(Clerk(desk=dice.choice([1, None])) for _ in range(many))
    session.add_all(Person(kind="person") for _ in range(many))
    await session.flush()
    if many:
        bare = [{"a": dice.choice([1, 1, None]), "doc": {"y": n % 2}} for n in range(many)]
        await (await session.connection()).execute(sa.insert(BARE), bare)


def _shown(item: Any) -> Any:  # noqa: ANN401  # an entity, a value or a row
    if isinstance(item, sa.Row):
        return tuple(map(_shown, item))
    return sa.inspect(item).identity if isinstance(item, Base) else repr(item)


async def _plain(session: AsyncSession, statement: Any) -> list[Any]:  # noqa: ANN401  # any statement
    return await session.run_sync(_plainly, statement)


def _plainly(session: Session, statement: Any) -> list[Any]:  # noqa: ANN401  # any statement
    result = Session.execute(session, statement)
    described = getattr(statement, "column_descriptions", ())
    has_entity = any(each.get("entity") is each["expr"] for each in described)
    if has_entity and (len(described) == 1 or statement._with_options):
        result = result.unique()
    rows = result.all()
    return [_shown(row[0]) if len(row) == 1 else _shown(row) for row in rows]


async def _by_cursor(
    session: AsyncSession,
    statement: AnyStatement,
    menu: Sequence[Any],
    **asked: Any,
) -> tuple[list[Any], set[int | None]]:
    items: list[Any] = []
    totals: set[int | None] = set()
    cursor = None
    for _ in range(200):
        page = PageRequest(cursor=cursor, **asked)
        part = await paginate(session, statement, page, sort=menu)
        assert len(part.items) <= page.limit
        items += map(_shown, part.items)
        totals.add(part.total)
        if (cursor := part.next_cursor) is None:
            break
    return items, totals


async def _by_offset(
    session: AsyncSession,
    statement: AnyStatement,
    menu: Sequence[Any],
    **asked: Any,
) -> list[Any]:
    items: list[Any] = []
    for _ in range(200):
        page = PageRequest(offset=len(items), **asked)
        part = await paginate(session, statement, page, sort=menu)
        items += map(_shown, part.items)
        if part.next_cursor is None:
            break
    return items


def _name_of(key: Any) -> str:  # noqa: ANN401  # a column, a label, an order
    return str(getattr(key, "key", None) or key.element.key)


@pytest.mark.parametrize("name", LISTS)
async def test_pages_of_any_statement_hold_all_rows_each_once(
    session: AsyncSession, name: str
) -> None:
    """By cursor and by offset, in every order on the list, up and down, with the right total."""
    statement, menu = LISTS[name]
    await _fill(session, random.Random(name), 9)
    plain = await _plain(session, statement)
    assert plain
    names = [_name_of(key) for key in menu]
    for sort in [None, *names, *(f"-{each}" for each in names), ",".join(names)]:
        limit = 2 if sort is None else 3
        whole, _ = await _by_cursor(session, statement, menu, limit=100, sort=sort)
        paged, totals = await _by_cursor(
            session, statement, menu, limit=limit, sort=sort, total="exact"
        )
        skipped = await _by_offset(session, statement, menu, limit=limit, sort=sort)

        assert Counter(whole) == Counter(plain), sort
        assert paged == whole, sort
        assert skipped == whole, sort
        assert totals == {len(plain)}, sort


@both_drivers
@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 10**6),
    many=st.integers(0, 12),
    name=st.sampled_from(sorted(LISTS)),
    limit=st.integers(1, 5),
    sign=st.sampled_from(["", "-"]),
)
async def test_pages_of_any_data_hold_all_rows_each_once(  # what hypothesis varies
    session: AsyncSession, seed: int, many: int, name: str, limit: int, sign: str
) -> None:
    """Whatever is in the tables, and nothing too."""
    statement, menu = LISTS[name]
    sort = sign + _name_of(menu[seed % len(menu)])
    nested = await session.begin_nested()
    await _fill(session, random.Random(seed), many)
    plain = await _plain(session, statement)
    paged, totals = await _by_cursor(
        session, statement, menu, limit=limit, sort=sort, total="exact"
    )
    skipped = await _by_offset(session, statement, menu, limit=limit, sort=sort)
    await nested.rollback()
    session.expunge_all()

    assert Counter(paged) == Counter(plain)
    assert skipped == paged
    assert totals == {len(plain)}


async def _fill_samples(session: AsyncSession) -> None:
    dice = random.Random(7)
    session.add_all(
        Sample(**{name: dice.choice([*values, *values, None]) for name, values in VALUES.items()})
        for _ in range(30)
    )
    await session.flush()


@both_drivers
@pytest.mark.parametrize("name", VALUES)
async def test_a_list_is_sorted_by_any_type(session: AsyncSession, name: str) -> None:
    """Values that are equal in Python, or lose digits there, neither repeat nor hide a row."""
    await _fill_samples(session)
    column = getattr(Sample, name)
    statements: list[tuple[AnyStatement, Any]] = [
        (sa.select(Sample.id), Sample.id),
        (sa.select(column).distinct(), column),
        (sa.select(column, sa.func.count()).group_by(column), column),
        (sa.union_all(sa.select(column), sa.select(column)), column),
    ]
    for statement, alone in statements:
        plain = await _plain(session, statement)
        for sign in ("", "-"):
            for menu in ([column], [alone, column] if alone is not column else [column]):
                asked = {"limit": 3, "sort": ",".join(sign + each.key for each in menu)}
                paged, totals = await _by_cursor(session, statement, menu, total="exact", **asked)
                assert Counter(paged) == Counter(plain)
                assert totals == {len(plain)}


@both_drivers
@pytest.mark.parametrize(
    "key",
    [
        sa.func.sum(Sample.big).label("key"),
        sa.func.sum(Sample.small).label("key"),
        sa.func.avg(Sample.big).label("key"),
        (sa.func.sum(Sample.exact) * 3).label("key"),
        sa.func.max(Sample.moment).label("key"),
    ],
    ids=str,
)
async def test_a_list_is_sorted_by_what_is_computed(
    session: AsyncSession, key: sa.Label[Any]
) -> None:
    """A sum is wider than its column, and an average has no type that Python knows."""
    await _fill_samples(session)
    statement = sa.select(Sample.day, key).group_by(Sample.day, Sample.clock)
    plain = await _plain(session, statement)
    for sign in ("", "-"):
        paged, _ = await _by_cursor(session, statement, [key], limit=2, sort=f"{sign}key")
        assert Counter(paged) == Counter(plain)


@pytest.mark.parametrize("name", ["doc", "binary_doc", "place", "numbers", "address", "span"])
async def test_a_column_of_any_type_is_listed_but_not_sorted_by(
    session: AsyncSession, name: str
) -> None:
    """It comes in a page; as a sort key it is refused, at once, though nothing is in the table."""
    column = getattr(Odd, name)
    with pytest.raises(ValueError, match=f"cannot sort by {name}: its type"):
        await paginate(session, sa.select(Odd), PageRequest(), sort=[Odd.id, column])
    session.add_all(
        Odd(doc={"a": 1}, binary_doc=[1], numbers=[n % 2], span=None, place=None) for n in range(5)
    )
    await session.flush()

    for statement in (sa.select(column), sa.select(Odd), sa.select(column, Odd.id)):
        paged, totals = await _by_cursor(session, statement, [Odd.id], limit=2, total="exact")
        assert (len(paged), totals) == (5, {5})


@both_drivers
async def test_a_type_that_nobody_names_is_refused_by_its_first_value(
    session: AsyncSession,
) -> None:
    """A function without a type may give anything: what no cursor holds is said on page one."""
    session.add(Odd(numbers=[1]))
    await session.flush()
    key = sa.func.array_remove(Odd.numbers, 7, type_=sa.types.NullType()).label("key")

    with pytest.raises(TypeError, match="list"):
        await paginate(session, sa.select(Odd), PageRequest(), sort=[key])


REFUSED: dict[str, tuple[Any, Sequence[Any], str]] = {
    "by the many side": (sa.select(A).join(A.books), [B.price], "select it too"),
    "distinct, by another column": (sa.select(A.town).distinct(), [A.name], "select it too"),
    "a union, by another column": (UNION, [A.id], "select it too"),
    "grouped by more": (
        sa.select(A).join(A.books).group_by(A.id, B.kind),
        [sa.func.count().label("n")],
        "group by Author's primary key alone",
    ),
    "the far side of an outer join": (
        sa.select(B).select_from(A).outerjoin(B),
        [B.id],
        "join the other way round",
    ),
    "a collection from the statement": (
        sa.select(A).join(A.books).options(contains_eager(A.books)),
        [A.id],
        "selectinload",
    ),
    "entities that a subquery repeats": (
        sa.select(TWICE),
        [TWICE.town],
        "primary key is in that subquery",
    ),
    "a statement read into entities": (
        sa.select(A).from_statement(sa.text("SELECT * FROM lr_author")),
        [A.id],
        "as a subquery",
    ),
    "two keys of one name": (sa.select(B).join(B.author), [A.id, B.id], "label one of them"),
    "a window over a join that repeats": (
        sa.select(A).join(A.books),
        [sa.func.count().over(partition_by=A.id).label("n")],
        "what it may have several of",
    ),
    "no key": (sa.select(A), [], "at least one column"),
    "a key without a name": (sa.select(A), [A.id + 1], "label"),
}


@pytest.mark.parametrize("name", REFUSED)
async def test_what_cannot_be_paged_is_refused_at_the_first_call(
    session: AsyncSession, name: str
) -> None:
    """Whatever is in the tables: the sentence says what to do instead."""
    statement, menu, remedy = REFUSED[name]
    with pytest.raises(ValueError, match=remedy):
        await paginate(session, statement, PageRequest(), sort=menu)


async def test_two_aliases_of_a_table_are_two_tables(session: AsyncSession) -> None:
    """The key of one of them does not stand for the other's."""
    one, other = aliased(Book), aliased(Book)
    await _fill(session, random.Random(3), 6)
    statement = sa.select(one.id, other.id.label("other")).where(one.price == other.price)
    plain = await _plain(session, statement)
    paged, totals = await _by_cursor(
        session, statement, [one.id, other.id.label("other")], limit=3, total="exact"
    )

    assert len(plain) > 6
    assert Counter(paged) == Counter(plain)
    assert totals == {len(plain)}
