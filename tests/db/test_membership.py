"""IN and NOT IN of any length: one statement to prepare, and the rows of SQLAlchemy's own."""

import enum
import uuid
from collections.abc import AsyncIterator, Callable
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from typing import Any, get_args

import pytest
import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import ARRAY, CITEXT, INET, JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlalchemy.orm import selectinload
from sqlmodel import Field, Relationship, SQLModel, col, select

from neonkit import Database
from neonkit.db import Driver, open_scope
from neonkit.testing import TripCounter
from neonkit.testing._databases import Databases
from support.stock import kind_of, stock_engine


class Shade(enum.Enum):
    """An enumeration whose names are not its values."""

    LIGHT = "l"
    DARK = "d"


class Reversed(sa.TypeDecorator[str]):
    """A text that the database has backwards."""

    impl = sa.String(20)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: sa.Dialect) -> str | None:
        """Turn it round."""
        del dialect
        return value and value[::-1]


class Lowered(sa.TypeDecorator[str]):
    """A text that the server changes before it compares."""

    impl = sa.String
    cache_ok = True

    def bind_expression(self, bindparam: sa.BindParameter[str]) -> sa.ColumnElement[str]:
        """Lower it."""
        return sa.func.lower(bindparam)


PARTS = sa.Table(
    "member_part",
    sa.MetaData(),  # made below, since it takes an extension
    sa.Column("id", sa.Integer, primary_key=True),
    sa.Column("big", sa.BigInteger),
    sa.Column("text", sa.String(4)),
    sa.Column("fixed", sa.CHAR(5)),
    sa.Column("any_case", CITEXT),
    sa.Column("native", sa.Enum(Shade, name="member_shade")),
    sa.Column("named", sa.Enum(Shade, native_enum=False)),
    sa.Column("reversed", Reversed),
    sa.Column("lowered", Lowered),
    sa.Column("exact", sa.Numeric(6, 2)),
    sa.Column("real", sa.Double),
    sa.Column("flag", sa.Boolean),
    sa.Column("day", sa.Date),
    sa.Column("at", sa.DateTime(timezone=True)),
    sa.Column("hour", sa.Time),
    sa.Column("span", sa.Interval),
    sa.Column("key", sa.Uuid),
    sa.Column("raw", sa.LargeBinary),
    sa.Column("host", INET),
    sa.Column("doc", JSONB),
    sa.Column("list", ARRAY(sa.Integer)),
)
NOON = datetime(2026, 1, 2, 12, tzinfo=UTC)
KEY = uuid.UUID("6ba7b810-9dad-41d1-80b4-00c04fd430c8")
ROW = {
    "big": 2**40,
    "text": "ab",
    "fixed": "ab",
    "any_case": "Ab",
    "native": Shade.LIGHT,
    "named": Shade.DARK,
    "reversed": "ab",
    "lowered": "AB",
    "exact": Decimal("1.25"),
    "real": 0.5,
    "flag": True,
    "day": date(2026, 1, 2),
    "at": NOON,
    "hour": time(12),
    "span": timedelta(minutes=1),
    "key": KEY,
    "raw": b"ab",
    "host": "10.0.0.1",
    "doc": {"a": 1},
    "list": [1, 2],
}
OTHERS: dict[str, Any] = {
    "big": 3,
    "text": "other",
    "fixed": "ab  ",
    "any_case": "ab",
    "native": Shade.DARK,
    "named": Shade.LIGHT,
    "reversed": "ba",
    "lowered": "ab",
    "exact": Decimal("1.251"),
    "real": 0.25,
    "flag": False,
    "day": date(2025, 1, 2),
    "at": NOON + timedelta(1),
    "hour": time(13),
    "span": timedelta(minutes=2),
    "key": uuid.UUID(int=1),
    "raw": b"",
    "host": "10.0.0.2",
    "doc": {"a": 2},
    "list": [1],
}


@pytest.fixture(scope="module")
async def both(_neonkit_databases: Databases) -> AsyncIterator[tuple[Database, AsyncEngine]]:
    """A database with two rows, one of them empty, and both kinds of engine on it."""
    async with (
        _neonkit_databases.clone("asyncpg") as loan,
        stock_engine(loan.database) as stock,
    ):
        async with stock.begin() as connection:
            await connection.execute(sa.text("CREATE EXTENSION citext"))
            await connection.run_sync(PARTS.metadata.create_all)
            await connection.execute(sa.insert(PARTS).values(id=1, **ROW))
            await connection.execute(sa.insert(PARTS).values(id=2))
        yield loan.database, stock


async def _compare(both: tuple[Database, AsyncEngine], condition: Any) -> None:  # noqa: ANN401  # an expression
    """Both find the same, as a condition and as a column."""
    for statement in (
        sa.select(PARTS.c.id).where(condition).order_by(PARTS.c.id),
        sa.select(PARTS.c.id, condition).order_by(PARTS.c.id),
        sa.select(PARTS.c.id).where(sa.not_(condition)).order_by(PARTS.c.id),
    ):
        found: list[object] = []
        for engine in (both[1], both[0].engine):
            async with engine.connect() as connection:
                try:
                    rows = (await connection.execute(statement)).all()
                    found.append([tuple(row) for row in rows])
                except DBAPIError as error:
                    found.append(kind_of(error))
        assert found[0] == found[1], str(statement)


@pytest.mark.parametrize("name", ROW)
async def test_the_same_rows_are_found(both: tuple[Database, AsyncEngine], name: str) -> None:
    """Of each type, with any number of values, and with NULL among them."""
    column, one, other = PARTS.c[name], ROW[name], OTHERS[name]
    for values in ([], [one], [other], [one, other], [other, None], [one, None], [None]):
        await _compare(both, column.in_(values))
        await _compare(both, column.not_in(values))


NAMED: sa.BindParameter[Any] = sa.bindparam("ids", [1, 3], expanding=True)
SHAPES: dict[str, Callable[[], Any]] = {
    "tuples": lambda: sa.tuple_(PARTS.c.id, PARTS.c.text).in_([(1, "ab"), (2, "x")]),
    "no tuples": lambda: sa.tuple_(PARTS.c.id, PARTS.c.text).in_([]),
    "not tuples": lambda: sa.tuple_(PARTS.c.id, PARTS.c.text).not_in([(1, "ab")]),
    "expressions": lambda: PARTS.c.id.in_([sa.literal(1) + 1, 7]),
    "subquery": lambda: PARTS.c.id.in_(sa.select(PARTS.c.id).where(PARTS.c.text.in_(["ab"]))),
    "literals": lambda: PARTS.c.id.in_(
        sa.bindparam("x", [1, 2], expanding=True, literal_execute=True)
    ),
    "a name": lambda: PARTS.c.id.in_(NAMED),
    "a name twice": lambda: PARTS.c.id.in_(NAMED) | PARTS.c.big.in_(NAMED),
    "a name of two types": lambda: PARTS.c.id.in_(NAMED) | sa.literal_column("1").in_(NAMED),
    "no type": lambda: sa.literal_column("id").in_([1, 2]),
    "a sum": lambda: (PARTS.c.id + 1).in_([2]),
    "a comparison": lambda: (PARTS.c.id == 1).in_([True]),
    "compared": lambda: PARTS.c.id.in_([1]) == PARTS.c.flag,
    "is null": lambda: PARTS.c.big.in_([1]).is_(None),
    "a case": lambda: sa.case((PARTS.c.id.in_([1]), True), else_=False),
    "a function": lambda: sa.func.coalesce(PARTS.c.text.in_(["ab"]), False),
    "numbers for text": lambda: PARTS.c.text.in_([1]),
    "text for numbers": lambda: PARTS.c.id.in_(["a"]),
    "too wide": lambda: PARTS.c.id.in_([1, 2**40]),
    "a set": lambda: PARTS.c.id.in_({1, 2}),
}


@pytest.mark.parametrize("name", SHAPES)
async def test_other_shapes_find_the_same(both: tuple[Database, AsyncEngine], name: str) -> None:
    """Wherever it stands, and whatever stands in it; errors are of the same kind."""
    await _compare(both, SHAPES[name]())


class Shelf(SQLModel, table=True):
    """Has books."""

    __tablename__ = "member_shelf"  # pyright: ignore[reportAssignmentType]  # as SQLModel documents it
    id: int | None = Field(default=None, primary_key=True)
    books: list["ShelfBook"] = Relationship(back_populates="shelf")


class ShelfBook(SQLModel, table=True):
    """Has a shelf."""

    __tablename__ = "member_shelf_book"  # pyright: ignore[reportAssignmentType]  # the same
    id: int | None = Field(default=None, primary_key=True)
    shelf_id: int | None = Field(default=None, foreign_key="member_shelf.id")
    shelf: Shelf | None = Relationship(back_populates="books")


@pytest.mark.parametrize("database_driver", get_args(Driver))
async def test_another_length_is_no_other_statement(db: Database, trips: TripCounter) -> None:
    """After the first on a connection each length costs a round trip, and so does its relation."""
    async with db.session() as session:
        session.add_all([Shelf(books=[ShelfBook()]) for _ in range(9)])
        await session.commit()

    async def read(number: int) -> list[int]:
        ids = list(range(number))
        async with db.session() as session:
            await session.exec(select(Shelf).where(col(Shelf.id).in_(ids)))
            await session.exec(select(Shelf).where(col(Shelf.id).not_in(ids)))
        async with db.session() as session:
            few = select(Shelf).order_by(col(Shelf.id)).limit(number)
            shelves = (await session.exec(few.options(selectinload(Shelf.books)))).all()  # type: ignore[arg-type]  # SQLModel's
            return [len(shelf.books) for shelf in shelves]

    await read(1)
    for number in (2, 9, 3, 0, 5):
        with trips.exactly(4 if number else 3):
            assert await read(number) == [1] * number


@pytest.mark.parametrize("database_driver", ["asyncpg"])
async def test_the_count_of_a_scope_is_the_wires(db: Database, trips: TripCounter) -> None:
    """A statement of another length is counted as what it costs."""
    for number in (1, 4):
        with open_scope() as scope, trips.counting() as counted:
            await db.execute(select(Shelf).where(col(Shelf.id).in_(range(number))))
        assert scope.trips == counted.count
