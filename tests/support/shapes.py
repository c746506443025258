"""Ordinary shapes of models, each under its name in the table of the docs."""

import enum
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    Computed,
    Date,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Identity,
    Interval,
    LargeBinary,
    Numeric,
    Sequence,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    func,
)
from sqlalchemy.dialects.postgresql import INET, INT4RANGE, JSONB, TSVECTOR
from sqlalchemy.ext.hybrid import hybrid_property
from sqlalchemy.ext.mutable import MutableDict, MutableList
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    composite,
    declared_attr,
    mapped_column,
    relationship,
)
from sqlmodel import SQLModel

SHAPES: dict[str, Callable[[], "Shape"]] = {}


class Shape(DeclarativeBase):
    """What they have in common: a key, a name, and a table called by the class."""

    metadata = SQLModel.metadata

    @declared_attr.directive
    def __tablename__(cls) -> str:  # noqa: N805  # SQLAlchemy's hook
        """The class's own name, among the shapes."""
        return f"shape_{cls.__name__.lower()}"

    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(default="a")


def shape(name: str, **values: Any) -> Callable[[type[Shape]], type[Shape]]:
    """Register a shape, and what a row of it is made with."""

    def register(kind: type[Shape]) -> type[Shape]:
        SHAPES[name] = lambda: kind(**values)
        return kind

    return register


def _now() -> datetime:
    return datetime.now(UTC)


class Mood(enum.Enum):
    """A choice."""

    GOOD = 1
    BAD = 2


class Upper(TypeDecorator[str]):
    """A type of the user's own."""

    impl = String
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:
        """Write it large."""
        del dialect
        return value and value.upper()


@dataclass
class Spot:
    """Two columns in one."""

    x: int
    y: int


def _numbered(context: Any) -> int:  # noqa: ANN401  # SQLAlchemy's
    return len(context.get_current_parameters())


@shape("a key that the server numbers")
class Serial(Shape):
    """`id: int | None = Field(primary_key=True)`."""


@shape("an identity column")
class Numbered(Shape):
    """GENERATED ALWAYS."""

    id: Mapped[int] = mapped_column(Identity(always=True), primary_key=True)


@shape("a sequence of its own")
class Sequenced(Shape):
    """A default that is a sequence."""

    number: Mapped[int] = mapped_column(Sequence("shape_numbers", metadata=SQLModel.metadata))


@shape("a key by `default_factory=uuid4`")
class ByUuid(Shape):
    """A default of Python's."""

    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)  # type: ignore[assignment]


@shape("a key by `gen_random_uuid()`")
class ByServersUuid(Shape):
    """A default of the server's."""

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())  # type: ignore[assignment]


@shape("a key of two columns", tenant=1)
class Paired(Shape):
    """A composite key."""

    id: Mapped[int] = mapped_column(primary_key=True, default=lambda: uuid4().int % 2**31)
    tenant: Mapped[int] = mapped_column(primary_key=True)


@shape("times by `default_factory` and `onupdate`")
class Timed(Shape):
    """Functions without a context."""

    made_at: Mapped[datetime] = mapped_column(DateTime(timezone=True), default=_now)
    changed_at: Mapped[datetime | None] = mapped_column(DateTime(timezone=True), onupdate=_now)


@shape("times by `now()`")
class ServerTimed(Shape):
    """Expressions of the server's."""

    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    changed_at: Mapped[datetime | None] = mapped_column(onupdate=func.now())


@shape("a default that looks at the row (`context`)")
class Contextual(Shape):
    """A function with a context may execute."""

    length: Mapped[int] = mapped_column(default=_numbered)


@shape("an enum of PostgreSQL's", mood=Mood.GOOD)
class Moody(Shape):
    """A native enum."""

    mood: Mapped[Mood]


@shape("an enum with a server default")
class Defaulted(Shape):
    """Whose text the enum knows."""

    mood: Mapped[Mood] = mapped_column(Enum(Mood), server_default="GOOD")


@shape("an enum as text with CHECK", mood=Mood.GOOD)
class Texted(Shape):
    """`native_enum=False`."""

    mood: Mapped[Mood] = mapped_column(Enum(Mood, native_enum=False, create_constraint=True))


@shape("JSON", data={"a": 1})
class Documented(Shape):
    """JSONB."""

    data: Mapped[Any] = mapped_column(JSONB)


@shape("`MutableDict` and `MutableList`", data={"a": 1})
class Followed(Shape):
    """Values that tell."""

    data: Mapped[dict[str, Any]] = mapped_column(MutableDict.as_mutable(JSONB()))
    more: Mapped[list[Any]] = mapped_column(MutableList.as_mutable(JSONB()), default=list)


@shape("an array", tags=["a"])
class Tagged(Shape):
    """ARRAY."""

    tags: Mapped[list[str]] = mapped_column(ARRAY(String))


@shape("money, dates, spans, bytes", price=Decimal("1.5"), day=date(2026, 1, 1), raw=b"a")
class Valued(Shape):
    """Types of PostgreSQL's own."""

    price: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    day: Mapped[date] = mapped_column(Date)
    span: Mapped[timedelta] = mapped_column(Interval, default=timedelta(1))
    raw: Mapped[bytes] = mapped_column(LargeBinary)


@shape("addresses and ranges", host="10.0.0.1")
class Addressed(Shape):
    """INET, INT4RANGE."""

    host: Mapped[str] = mapped_column(INET)
    span: Mapped[Any] = mapped_column(INT4RANGE, nullable=True)


@shape("a type of your own (`TypeDecorator`)", loud="a")
class Decorated(Shape):
    """Whose value is given."""

    loud: Mapped[str] = mapped_column(Upper)


@shape("a type of your own that the server fills in")
class DecoratedByServer(Shape):
    """Whose value comes back."""

    loud: Mapped[str] = mapped_column(Upper, server_default="A")


@shape("a computed column, full-text search")
class Searched(Shape):
    """GENERATED ALWAYS AS."""

    words: Mapped[Any] = mapped_column(TSVECTOR, Computed("to_tsvector('simple', name)"))


@shape("`composite()`", spot=Spot(1, 2))
class Placed(Shape):
    """Two columns in one attribute."""

    spot: Mapped[Spot] = composite(mapped_column("x"), mapped_column("y"))


@shape("a hybrid, a deferred column")
class Hybrid(Shape):
    """Nothing of the server's."""

    long: Mapped[str | None] = mapped_column(deferred=True)

    @hybrid_property
    def loud(self) -> str:
        """The name."""
        return self.name.upper()


@shape("a version that is checked (`version_id_col`)")
class Versioned(Shape):
    """Optimistic locking."""

    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012  # SQLAlchemy's hook


@shape("unique and CHECK constraints")
class Constrained(Shape):
    """Refused in the statement."""

    __table_args__ = (CheckConstraint("length(name) < 9", "short"),)
    code: Mapped[str | None] = mapped_column(unique=True)


@shape("a deferrable constraint")
class Deferred(Shape):
    """Refused at COMMIT."""

    __table_args__ = (UniqueConstraint("code", deferrable=True, initially="DEFERRED"),)
    code: Mapped[str | None]


@shape("one table for several classes")
class Pet(Shape):
    """Single-table inheritance."""

    kind: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "pet"}  # noqa: RUF012  # SQLAlchemy's hook


class Parent(Shape):
    """What children refer to."""

    children: Mapped[list["Child"]] = relationship(back_populates="parent")


class Child(Shape):
    """A child, whose parent is given by key or as an object."""

    parent_id: Mapped[int | None] = mapped_column(ForeignKey("shape_parent.id"))
    parent: Mapped[Parent | None] = relationship(back_populates="children")


@shape('children that the database deletes (`passive_deletes="all"`)')
class Owner(Shape):
    """What leaves its children to the foreign key."""

    things: Mapped[list["Thing"]] = relationship(passive_deletes="all")


class Thing(Shape):
    """Goes with its owner."""

    owner_id: Mapped[int] = mapped_column(ForeignKey("shape_owner.id", ondelete="CASCADE"))


@shape('children that the ORM deletes (`cascade="all, delete-orphan"`)')
class Album(Shape):
    """What looks for its children before it goes."""

    pages: Mapped[list["Page"]] = relationship(cascade="all, delete-orphan")


class Page(Shape):
    """Goes with its album."""

    album_id: Mapped[int] = mapped_column(ForeignKey("shape_album.id"))


class Node(Shape):
    """Refers to its own kind."""

    parent_id: Mapped[int | None] = mapped_column(ForeignKey("shape_node.id"))
    parent: Mapped["Node | None"] = relationship(remote_side="Node.id")


SHAPES["a reference to its own kind"] = Node


class Label(Shape):
    """One of many."""


Table(
    "shape_labelled_label",
    SQLModel.metadata,
    Column("labelled_id", ForeignKey("shape_labelled.id"), primary_key=True),
    Column("label_id", ForeignKey("shape_label.id"), primary_key=True),
)


class Labelled(Shape):
    """Has labels."""

    labels: Mapped[list[Label]] = relationship(
        secondary=lambda: SQLModel.metadata.tables["shape_labelled_label"]
    )


class Machine(Shape):
    """The base of joined inheritance."""

    kind: Mapped[str]
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "machine"}  # noqa: RUF012  # SQLAlchemy's hook


@shape("a table for each class (joined inheritance)")
class Drill(Machine):
    """Two rows in one object."""

    id: Mapped[int] = mapped_column(ForeignKey("shape_machine.id"), primary_key=True)
    power: Mapped[int] = mapped_column(default=1)
    __mapper_args__ = {"polymorphic_identity": "drill"}  # noqa: RUF012  # SQLAlchemy's hook
