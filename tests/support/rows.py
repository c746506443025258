"""Tables that each have one reason to need a transaction, or none."""

import enum
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from uuid import UUID, uuid4

from sqlalchemy import (
    ARRAY,
    CheckConstraint,
    Column,
    Dialect,
    Enum,
    ForeignKey,
    Sequence,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.mutable import MutableDict, MutableList
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    composite,
    mapped_column,
    relationship,
)
from sqlalchemy.types import UserDefinedType
from sqlmodel import SQLModel


class Row(DeclarativeBase):
    """SQLAlchemy's own classes, since they map what SQLModel's cannot."""

    metadata = SQLModel.metadata
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012  # SQLAlchemy's hook

    id: Mapped[int] = mapped_column(primary_key=True)


class RefusedError(Exception):
    """A listener or a type refuses, or the caller does."""


class Picky(TypeDecorator[str]):
    """A type that refuses what the server made."""

    impl = String
    cache_ok = True

    def process_result_value(self, value: str | None, dialect: Dialect) -> str | None:
        """Refuse."""
        del dialect
        if value == "MADE":
            raise RefusedError
        return value


class Homemade(UserDefinedType[str]):
    """The same, made from nothing."""

    cache_ok = True

    def get_col_spec(self, **_: object) -> str:
        """What PostgreSQL has it as."""
        return "text"

    def result_processor(self, dialect: Dialect, coltype: object) -> Any:  # noqa: ANN401  # SQLAlchemy's
        """Refuse."""
        del dialect, coltype
        return _refuse_value


def _refuse_value(value: object) -> str:
    raise RefusedError(value)


class Box(Row):
    """A row of the usual kind."""

    __tablename__ = "alone_box"
    __table_args__ = (CheckConstraint("size >= 0", "size"),)
    label: Mapped[str] = mapped_column(unique=True)
    size: Mapped[int] = mapped_column(default=1)
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    changed_at: Mapped[datetime] = mapped_column(server_default=func.now(), onupdate=func.now())
    slips: Mapped[list["Slip"]] = relationship(back_populates="box", passive_deletes="all")


class Slip(Row):
    """What refers to a box, which has nothing to do for it."""

    __tablename__ = "alone_slip"
    box_id: Mapped[int] = mapped_column(ForeignKey("alone_box.id"))
    box: Mapped[Box] = relationship(back_populates="slips")


class Pile(Row):
    """What has relations that are its own to write; only the first may have any."""

    __tablename__ = "alone_pile"
    label: Mapped[str]
    sheets: Mapped[list["Sheet"]] = relationship()
    lid: Mapped["Lid | None"] = relationship()
    tags: Mapped[list["Tag"]] = relationship(
        secondary=lambda: Row.metadata.tables["alone_pile_tag"]
    )


class Sheet(Row):
    """One of many."""

    __tablename__ = "alone_sheet"
    __table_args__ = (CheckConstraint("pile_id < 2", "first"),)
    pile_id: Mapped[int | None] = mapped_column(ForeignKey("alone_pile.id"))


class Lid(Row):
    """One of one."""

    __tablename__ = "alone_lid"
    __table_args__ = (CheckConstraint("pile_id < 2", "first"),)
    pile_id: Mapped[int | None] = mapped_column(ForeignKey("alone_pile.id"))


class Tag(Row):
    """One of many to many."""

    __tablename__ = "alone_tag"
    label: Mapped[str]


Table(
    "alone_pile_tag",
    Row.metadata,
    Column("pile_id", ForeignKey("alone_pile.id"), primary_key=True),
    Column("tag_id", ForeignKey("alone_tag.id"), primary_key=True),
    CheckConstraint("pile_id < 2", "first"),
)


class Bag(Row):
    """What leaves its links to the database, unless it knows them."""

    __tablename__ = "alone_bag"
    tags: Mapped[list[Tag]] = relationship(
        secondary=lambda: Row.metadata.tables["alone_bag_tag"], passive_deletes="all"
    )


Table(
    "alone_bag_tag",
    Row.metadata,
    Column("bag_id", ForeignKey("alone_bag.id"), primary_key=True),
    Column("tag_id", ForeignKey("alone_tag.id"), primary_key=True),
)


class Pin(Row):
    """Keeps a pile from being deleted, and no object knows."""

    __tablename__ = "alone_pin"
    pile_id: Mapped[int] = mapped_column(ForeignKey("alone_pile.id"))


class Vehicle(Row):
    """The base of joined inheritance."""

    __tablename__ = "alone_vehicle"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "vehicle"}  # noqa: RUF012  # SQLAlchemy's hook
    kind: Mapped[str]


class Truck(Vehicle):
    """Two rows in one object."""

    __tablename__ = "alone_truck"
    __table_args__ = (CheckConstraint("load >= 0", "load"),)
    __mapper_args__ = {"polymorphic_identity": "truck"}  # noqa: RUF012  # SQLAlchemy's hook
    id: Mapped[int] = mapped_column(ForeignKey("alone_vehicle.id"), primary_key=True)
    load: Mapped[int]


class Pet(Row):
    """The base of single-table inheritance."""

    __tablename__ = "alone_pet"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "pet"}  # noqa: RUF012  # SQLAlchemy's hook
    kind: Mapped[str]


class Dog(Pet):
    """One row in the same table."""

    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012  # SQLAlchemy's hook
    tricks: Mapped[int | None]


class Silent(Row):
    """A table whose ids are asked for before."""

    __tablename__ = "alone_silent"
    __table_args__ = (UniqueConstraint("label"), {"implicit_returning": False})
    label: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())


def _count_tags(context: Any) -> int:  # noqa: ANN401  # SQLAlchemy's
    context.connection.execute(text("INSERT INTO alone_tag (label) VALUES ('counted')"))
    return -1


class Numbered(Row):
    """A table whose default is a statement of its own."""

    __tablename__ = "alone_numbered"
    __table_args__ = (CheckConstraint("number >= 0", "number"),)
    number: Mapped[int] = mapped_column(default=_count_tags)
    label: Mapped[str | None]


class Renumbered(Row):
    """A table whose default of changes is one."""

    __tablename__ = "alone_renumbered"
    __table_args__ = (CheckConstraint("changes >= 0", "changes"),)
    label: Mapped[str]
    changes: Mapped[int | None] = mapped_column(onupdate=_count_tags)


class Counted(Row):
    """A table whose default is a sequence."""

    __tablename__ = "alone_counted"
    number: Mapped[int] = mapped_column(
        Sequence("alone_counted_number", metadata=Row.metadata), unique=True
    )


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class Stamped(Row):
    """A table whose defaults are Python's, and ask nobody."""

    __tablename__ = "alone_stamped"
    id: Mapped[UUID] = mapped_column(primary_key=True, default=uuid4)  # type: ignore[assignment]  # its own key
    label: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(default=_now)
    changed_at: Mapped[datetime] = mapped_column(default=_now, onupdate=_now)


class Colour(enum.Enum):
    """What PostgreSQL has as a type."""

    RED = "red"
    BLUE = "blue"


class Painted(Row):
    """A table whose server default its enumeration knows, however it is written."""

    __tablename__ = "alone_painted"
    label: Mapped[str]
    inside: Mapped[Colour] = mapped_column(Enum(Colour, name="alone_colour"), server_default="RED")
    outside: Mapped[Colour] = mapped_column(
        Enum(Colour, name="alone_colour"), server_default=text("'BLUE'::alone_colour")
    )
    layers: Mapped[list[Colour]] = mapped_column(
        ARRAY(Enum(Colour, name="alone_colour")), server_default="{}"
    )


class Strict(MutableDict[str, Any]):
    """A dictionary that refuses what it was not made from."""

    @classmethod
    def coerce(cls, key: str, value: Any) -> Any:  # noqa: ANN401  # SQLAlchemy's
        """Refuse."""
        if value and not isinstance(value, cls):
            raise RefusedError(key)
        return super().coerce(key, value)


class Noted(Row):
    """A table whose values tell when they change, however they came to be."""

    __tablename__ = "alone_noted"
    label: Mapped[str]
    given: Mapped[dict[str, Any] | None] = mapped_column(MutableDict.as_mutable(JSONB()))
    made: Mapped[dict[str, Any]] = mapped_column(MutableDict.as_mutable(JSONB()), default=dict)
    scalar: Mapped[list[Any]] = mapped_column(MutableList.as_mutable(JSONB()), default=[1])
    served: Mapped[dict[str, Any]] = mapped_column(
        MutableDict.as_mutable(JSONB()), server_default=text("'{}'::jsonb")
    )


class Misnoted(Row):
    """A table whose default is of another class than the one that follows it."""

    __tablename__ = "alone_misnoted"
    data: Mapped[Any] = mapped_column(MutableDict.as_mutable(JSONB()), default=list)


class Misserved(Row):
    """The same, made by the server."""

    __tablename__ = "alone_misserved"
    data: Mapped[Any] = mapped_column(MutableDict.as_mutable(JSONB()), server_default="[]")


class Strictly(Row):
    """The same, with a class of the user's own."""

    __tablename__ = "alone_strictly"
    data: Mapped[Any] = mapped_column(Strict.as_mutable(JSONB()), server_default='{"a": 1}')
    label: Mapped[str | None]


@dataclass
class Point:
    """Two columns in one."""

    x: int
    y: int


class Placed(Row):
    """A table with such an attribute."""

    __tablename__ = "alone_placed"
    point: Mapped[Point] = composite(mapped_column("x"), mapped_column("y"))


class Made(Row):
    """A table whose type refuses what the server makes."""

    __tablename__ = "alone_made"
    label: Mapped[str] = mapped_column(Picky, server_default="MADE")


class MadeList(Row):
    """The same, inside of an array."""

    __tablename__ = "alone_made_list"
    labels: Mapped[list[str]] = mapped_column(ARRAY(Picky), server_default="{MADE}")


class MadeFromNothing(Row):
    """The same, with a type of the user's own."""

    __tablename__ = "alone_homemade"
    label: Mapped[str] = mapped_column(Homemade, server_default="made")


class Chosen(Row):
    """The same, with an enumeration that the server knows better."""

    __tablename__ = "alone_chosen"
    choice: Mapped[str] = mapped_column(
        Enum("a", "b", native_enum=False, create_constraint=False), server_default="c"
    )


class Picked(Row):
    """A table whose type refuses what it is told."""

    __tablename__ = "alone_picked"
    choice: Mapped[str] = mapped_column(Enum("a", "b", native_enum=False, validate_strings=True))


class Late(Row):
    """A table that refuses at COMMIT."""

    __tablename__ = "alone_late"
    __table_args__ = (UniqueConstraint("label", deferrable=True, initially="DEFERRED"),)
    label: Mapped[str]


class Later(Row):
    """The same; PostgreSQL takes `INITIALLY DEFERRED` for `DEFERRABLE`."""

    __tablename__ = "alone_later"
    __table_args__ = (UniqueConstraint("label", initially="DEFERRED"),)
    label: Mapped[str]


class Lateable(Row):
    """A table that refuses at COMMIT where it is told to."""

    __tablename__ = "alone_lateable"
    __table_args__ = (UniqueConstraint("label", deferrable=True),)
    label: Mapped[str]


class Anchor(Row):
    """What cannot be deleted, as COMMIT finds out."""

    __tablename__ = "alone_anchor"


class Chain(Row):
    """What keeps an anchor."""

    __tablename__ = "alone_chain"
    anchor_id: Mapped[int] = mapped_column(
        ForeignKey("alone_anchor.id", deferrable=True, initially="DEFERRED")
    )


class Nest(Row):
    """What keeps its eggs."""

    __tablename__ = "alone_nest"
    eggs: Mapped[list["Egg"]] = relationship(back_populates="nest", cascade="all, delete-orphan")


class Egg(Row):
    """What is nothing without its nest."""

    __tablename__ = "alone_egg"
    nest_id: Mapped[int | None] = mapped_column(ForeignKey("alone_nest.id"))
    nest: Mapped[Nest | None] = relationship(back_populates="eggs")


class Album(Row):
    """What has a version, and pages that may go elsewhere."""

    __tablename__ = "alone_album"
    label: Mapped[str]
    version: Mapped[int] = mapped_column()
    pages: Mapped[list["AlbumPage"]] = relationship(back_populates="album")
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012  # SQLAlchemy's hook


class AlbumPage(Row):
    """A page."""

    __tablename__ = "alone_album_page"
    __table_args__ = (CheckConstraint("number >= 0", "number"),)
    album_id: Mapped[int | None] = mapped_column(ForeignKey("alone_album.id"))
    album: Mapped[Album | None] = relationship(back_populates="pages")
    number: Mapped[int] = mapped_column(default=1)


class Hive(Row):
    """What keeps its cells, which know nothing of it."""

    __tablename__ = "alone_hive"
    cells: Mapped[list["Cell"]] = relationship(cascade="all, delete-orphan")


class Cell(Row):
    """What is nothing without its hive."""

    __tablename__ = "alone_cell"
    label: Mapped[str]
    hive_id: Mapped[int | None] = mapped_column(ForeignKey("alone_hive.id"))


class Ring(Row):
    """What has its members written twice."""

    __tablename__ = "alone_ring"
    keys: Mapped[list["RingKey"]] = relationship(post_update=True)


class RingKey(Row):
    """A member; the second statement finds what the first did not."""

    __tablename__ = "alone_ring_key"
    __table_args__ = (CheckConstraint("ring_id < 0", "ring"),)
    ring_id: Mapped[int | None] = mapped_column(ForeignKey("alone_ring.id"))


class Coded(Row):
    """What is known by a code that is not its key; those that know it are told."""

    __tablename__ = "alone_coded"
    code: Mapped[str]
    users: Mapped[list["CodeUser"]] = relationship(
        primaryjoin="foreign(CodeUser.code) == Coded.code", passive_updates=False
    )


class CodeUser(Row):
    """What knows a code."""

    __tablename__ = "alone_code_user"
    __table_args__ = (CheckConstraint("code <> 'bad'", "code"),)
    code: Mapped[str]


class Named(Row):
    """What is known by its key, and by a name; it does not know by whom."""

    __tablename__ = "alone_named"
    id: Mapped[str] = mapped_column(primary_key=True)  # type: ignore[assignment]  # its own key
    name: Mapped[str]


class NameUser(Row):
    """What knows a name and a key, and hears when they change."""

    __tablename__ = "alone_name_user"
    __table_args__ = (
        CheckConstraint("name <> 'bad'", "name"),
        CheckConstraint("key <> 'bad'", "key"),
    )
    name: Mapped[str]
    key: Mapped[str]
    by_name: Mapped[Named] = relationship(
        primaryjoin="foreign(NameUser.name) == Named.name", passive_updates=False
    )
    by_key: Mapped[Named] = relationship(
        primaryjoin="foreign(NameUser.key) == Named.id", passive_updates=False
    )


class Knot(Row):
    """What refers to its own kind, by a second statement."""

    __tablename__ = "alone_knot"
    __table_args__ = (CheckConstraint("next_id < 0", "next"),)
    next_id: Mapped[int | None] = mapped_column(ForeignKey("alone_knot.id"))
    next: Mapped["Knot | None"] = relationship(remote_side="Knot.id", post_update=True)


class Seal(Row):
    """What goes with its deed."""

    __tablename__ = "alone_seal"


class Deed(Row):
    """What owns what it refers to."""

    __tablename__ = "alone_deed"
    seal_id: Mapped[int | None] = mapped_column(ForeignKey("alone_seal.id"))
    seal: Mapped[Seal | None] = relationship(cascade="all, delete-orphan", single_parent=True)


class Wax(Row):
    """Keeps a seal from being deleted, and no object knows."""

    __tablename__ = "alone_wax"
    seal_id: Mapped[int] = mapped_column(ForeignKey("alone_seal.id"))


class Nameless(Row):
    """What is known by what is no key."""

    __tablename__ = "alone_nameless"
    label: Mapped[str | None] = mapped_column()
    size: Mapped[int]
    __mapper_args__ = {"primary_key": [label]}  # noqa: RUF012  # SQLAlchemy's hook


class Watched(Row):
    """A table that may do more than it is told."""

    __tablename__ = "alone_watched"
    __table_args__ = {"info": {"volatile": True}}  # noqa: RUF012  # SQLAlchemy's hook
    label: Mapped[str]


class Unchanged(Row):
    """A table whose time of change comes with the first change."""

    __tablename__ = "alone_unchanged"
    changed_at: Mapped[datetime | None] = mapped_column(onupdate=func.now())


class Quiet(Row):
    """A table whose times are asked for later."""

    __tablename__ = "alone_quiet"
    __mapper_args__ = {"eager_defaults": False}  # noqa: RUF012  # SQLAlchemy's hook
    label: Mapped[str]
    made_at: Mapped[datetime] = mapped_column(server_default=func.now())
    changed_at: Mapped[datetime | None] = mapped_column(onupdate=func.now())


TABLES = [table for table in Row.metadata.sorted_tables if table.name.startswith("alone_")]


def _has_sequence(table: Table) -> bool:
    return table.autoincrement_column is not None


EMPTY = "".join(
    f"DELETE FROM {table.name};"
    + (f"SELECT setval('{table.name}_id_seq', 1, false);" if _has_sequence(table) else "")
    for table in reversed(TABLES)
)
SEED = f"""
{EMPTY}
SELECT setval('alone_counted_number', 1, false);
INSERT INTO alone_box (label, size) VALUES ('first', 1), ('second', 1);
INSERT INTO alone_slip (box_id) VALUES (1);
INSERT INTO alone_pile (label) VALUES ('first');
INSERT INTO alone_sheet (pile_id) VALUES (1), (NULL);
INSERT INTO alone_lid (pile_id) VALUES (1), (NULL);
INSERT INTO alone_tag (label) VALUES ('first');
INSERT INTO alone_pile_tag VALUES (1, 1);
INSERT INTO alone_bag DEFAULT VALUES;
INSERT INTO alone_bag_tag VALUES (1, 1);
INSERT INTO alone_pin (pile_id) VALUES (1);
INSERT INTO alone_anchor DEFAULT VALUES;
INSERT INTO alone_chain (anchor_id) VALUES (1);
INSERT INTO alone_late (label) VALUES ('first');
INSERT INTO alone_later (label) VALUES ('first');
INSERT INTO alone_nest DEFAULT VALUES;
INSERT INTO alone_nest DEFAULT VALUES;
INSERT INTO alone_egg (nest_id) VALUES (1);
INSERT INTO alone_album (label, version) VALUES ('first', 1), ('second', 1);
INSERT INTO alone_album_page (album_id, number) VALUES (1, 1), (1, 2);
INSERT INTO alone_ring DEFAULT VALUES;
INSERT INTO alone_hive DEFAULT VALUES;
INSERT INTO alone_cell (label, hive_id) VALUES ('first', 1);
INSERT INTO alone_stamped VALUES (
  '6ba7b810-9dad-41d1-80b4-00c04fd430c8', 'first', now(), now()
);
INSERT INTO alone_painted (label) VALUES ('first');
INSERT INTO alone_noted (label, made, scalar) VALUES ('first', '{{}}', '[]');
INSERT INTO alone_numbered (number) VALUES (7);
INSERT INTO alone_coded (code) VALUES ('good');
INSERT INTO alone_code_user (code) VALUES ('good');
INSERT INTO alone_named VALUES ('good', 'good');
INSERT INTO alone_name_user (name, key) VALUES ('good', 'good');
INSERT INTO alone_seal DEFAULT VALUES;
INSERT INTO alone_wax (seal_id) VALUES (1);
INSERT INTO alone_deed (seal_id) VALUES (1);
INSERT INTO alone_quiet (label) VALUES ('quiet');
INSERT INTO alone_renumbered (label) VALUES ('first');
"""
