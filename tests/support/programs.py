"""Random session programs: what they write, how they are made, and what one comes to."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from itertools import product
from typing import Any

from hypothesis import strategies as st
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Table,
    UniqueConstraint,
    event,
    func,
    insert,
    inspect,
    literal,
    text,
    update,
)
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncSessionTransaction
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, relationship
from sqlmodel import SQLModel, select
from sqlmodel.ext.asyncio.session import AsyncSession

from support.stock import kind_of, listening


class Part(DeclarativeBase):
    """What programs write."""

    metadata = SQLModel.metadata
    __mapper_args__ = {"eager_defaults": True}  # noqa: RUF012  # SQLAlchemy's hook

    id: Mapped[int] = mapped_column(primary_key=True)


class Author(Part):
    """Has relations of every kind; its name is unique, its age not negative."""

    __tablename__ = "play_author"
    __table_args__ = (UniqueConstraint("name"), CheckConstraint("age >= 0", "age"))
    name: Mapped[str]
    age: Mapped[int] = mapped_column(default=1)
    rank: Mapped[int] = mapped_column(server_default="7")
    changes: Mapped[int] = mapped_column(server_default="0", onupdate=func.length("four"))
    notes: Mapped[list["Note"]] = relationship(back_populates="author", passive_deletes="all")
    books: Mapped[list["Book"]] = relationship(cascade="all, delete-orphan")
    tags: Mapped[list["Tag"]] = relationship(
        secondary=lambda: Part.metadata.tables["play_author_tag"]
    )


class Note(Part):
    """Refers to an author, and stays when it goes, if it can."""

    __tablename__ = "play_note"
    words: Mapped[str]
    author_id: Mapped[int | None] = mapped_column(ForeignKey("play_author.id"))
    author: Mapped[Author | None] = relationship(back_populates="notes")


class Book(Part):
    """Goes with its author."""

    __tablename__ = "play_book"
    title: Mapped[str]
    author_id: Mapped[int | None] = mapped_column(ForeignKey("play_author.id"))


class Tag(Part):
    """One of many to many."""

    __tablename__ = "play_tag"
    label: Mapped[str]
    changes: Mapped[int | None] = mapped_column(onupdate=func.length("four"))


Table(
    "play_author_tag",
    Part.metadata,
    Column("author_id", ForeignKey("play_author.id"), primary_key=True),
    Column("tag_id", ForeignKey("play_tag.id"), primary_key=True),
)


class Log(Part):
    """Stands for itself."""

    __tablename__ = "play_log"
    what: Mapped[str]
    size: Mapped[int] = mapped_column(server_default="3")


class Animal(Part):
    """Single-table inheritance."""

    __tablename__ = "play_animal"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "animal"}  # noqa: RUF012  # SQLAlchemy's hook
    kind: Mapped[str]
    name: Mapped[str | None]


class Cat(Animal):
    """A kind of it."""

    __mapper_args__ = {"polymorphic_identity": "cat"}  # noqa: RUF012  # SQLAlchemy's hook


class Shape(Part):
    """Joined inheritance."""

    __tablename__ = "play_shape"
    __mapper_args__ = {"polymorphic_on": "kind", "polymorphic_identity": "shape"}  # noqa: RUF012  # SQLAlchemy's hook
    kind: Mapped[str]
    name: Mapped[str | None]


class Circle(Shape):
    """A kind of it, in two tables."""

    __tablename__ = "play_circle"
    __table_args__ = (CheckConstraint("radius >= 0", "radius"),)
    __mapper_args__ = {"polymorphic_identity": "circle"}  # noqa: RUF012  # SQLAlchemy's hook
    id: Mapped[int] = mapped_column(ForeignKey("play_shape.id"), primary_key=True)
    radius: Mapped[int]


class Heard(Part):
    """Its listener writes, and refuses some."""

    __tablename__ = "play_heard"
    label: Mapped[str]


class Late(Part):
    """Is refused at COMMIT."""

    __tablename__ = "play_late"
    __table_args__ = (UniqueConstraint("code", deferrable=True, initially="DEFERRED"),)
    code: Mapped[int]


TABLES = [each for each in SQLModel.metadata.sorted_tables if each.name.startswith("play_")]
EMPTY = "".join(f"DELETE FROM {table.name};" for table in reversed(TABLES)) + "".join(
    f"ALTER SEQUENCE {table.name}_id_seq RESTART;"
    for table in TABLES
    if table.autoincrement_column is not None
)


class RefusedError(Exception):
    """A listener refuses."""


@event.listens_for(Heard, "after_insert")
def _write_and_refuse(_mapper: object, connection: Any, row: Heard) -> None:  # noqa: ANN401  # SQLAlchemy's
    connection.execute(insert(Log).values(what=f"heard {row.label}"))
    if row.label == "n0":
        raise RefusedError


KINDS: tuple[Callable[[int], Part], ...] = (
    lambda value: Author(name=f"n{value}", age=max(value, 1)),
    lambda value: Author(name=f"n{value}", age=value - 1),
    lambda value: Note(words=f"n{value}"),
    lambda value: Note(words=f"n{value}", author_id=value),
    lambda value: Book(title=f"n{value}", author_id=value or None),
    lambda value: Tag(label=f"n{value}"),
    lambda value: Log(what=f"n{value}"),
    lambda value: Cat(name=f"n{value}"),
    lambda value: Animal(name=f"n{value}"),
    lambda value: Circle(name=f"n{value}", radius=value - 1),
    lambda value: Shape(name=f"n{value}"),
    lambda value: Heard(label=f"n{value}"),
    lambda value: Late(code=value % 2),
    lambda value: Author(name=f"n{value}", books=[Book(title="new")]),
    lambda value: Author(name=f"n{value}", notes=[Note(words="new")]),
)
NAMES = {
    Author: "name",
    Note: "words",
    Book: "title",
    Tag: "label",
    Log: "what",
    Cat: "name",
    Animal: "name",
    Circle: "name",
    Shape: "name",
    Heard: "label",
}
READABLE: tuple[type[Part], ...] = (Author, Note, Book, Tag, Log, Animal, Shape, Heard, Late)

Step = tuple[str, int, int, int]
Program = list[Step]


@dataclass
class Seat:
    """One of a program's two sessions, its listeners, and the objects that it knows."""

    session: AsyncSession
    listeners: ExitStack
    known: list[Part] = field(default_factory=list)
    savepoints: list[AsyncSessionTransaction] = field(default_factory=list)

    def pick(self, number: int, *kinds: type[Part]) -> Any:  # noqa: ANN401  # one of the kinds
        """One of the objects that it knows; `None` where there is none of these kinds."""
        fitting = [each for each in self.known if isinstance(each, kinds or Part)]
        return fitting[number % len(fitting)] if fitting else None


async def _add(seat: Seat, which: int, value: int) -> None:
    row = KINDS[which % len(KINDS)](value)
    seat.known.append(row)
    seat.session.add(row)


async def _add_and_commit(seat: Seat, which: int, value: int) -> object:
    await _add(seat, which, value)
    return await _commit(seat, which, value)


async def _change(seat: Seat, which: int, value: int) -> None:
    row = seat.pick(which)
    if isinstance(row, Author) and value % 3:
        row.age = Author.age + 1 if value == 1 else value - 2
    elif isinstance(row, Circle) and value % 2:
        row.radius = value - 1
    elif isinstance(row, Late):
        row.code = value % 2
    elif row is not None:
        setattr(row, NAMES[type(row)], f"n{value}")


async def _change_and_commit(seat: Seat, which: int, value: int) -> object:
    await _change(seat, which, value)
    return await _commit(seat, which, value)


async def _delete(seat: Seat, which: int, _value: int) -> None:
    if row := seat.pick(which):
        await seat.session.delete(row)


async def _delete_and_commit(seat: Seat, which: int, value: int) -> object:
    await _delete(seat, which, value)
    return await _commit(seat, which, value)


async def _relate(seat: Seat, which: int, value: int) -> None:
    """Put something into a collection of an author's, or take something out."""
    author = seat.pick(which, Author)
    if author is None:
        return
    name, kind = (("books", Book), ("notes", Note), ("tags", Tag))[value % 3]
    if inspect(author).persistent:
        await seat.session.refresh(author, [name])
    collection = getattr(author, name)
    other = seat.pick(which, kind)
    if other in collection:
        collection.remove(other)
    elif other is not None:
        collection.append(other)
    else:
        collection.append(KINDS[{"books": 4, "notes": 2, "tags": 5}[name]](0))


async def _refer(seat: Seat, which: int, value: int) -> None:
    note = seat.pick(which, Note)
    if note is not None:
        note.author = seat.pick(value, Author) if value else None


async def _flush(seat: Seat, _which: int, _value: int) -> None:
    await seat.session.flush()


async def _commit(seat: Seat, _which: int, _value: int) -> object:
    seat.savepoints.clear()
    await seat.session.commit()
    return [_look_at(each) for each in seat.known]


async def _rollback(seat: Seat, _which: int, _value: int) -> None:
    seat.savepoints.clear()
    await seat.session.rollback()


async def _begin_nested(seat: Seat, _which: int, _value: int) -> None:
    seat.savepoints.append(await seat.session.begin_nested())


async def _end_nested(seat: Seat, _which: int, value: int) -> None:
    if seat.savepoints:
        savepoint = seat.savepoints.pop()
        await (savepoint.commit() if value % 2 else savepoint.rollback())


async def _read(seat: Seat, which: int, _value: int) -> object:
    kind = READABLE[which % len(READABLE)]
    rows = (await seat.session.exec(select(kind).order_by(kind.id))).all()
    seat.known += [row for row in rows if row not in seat.known]
    return [_look_at(row) for row in rows]


async def _get(seat: Seat, which: int, value: int) -> object:
    row = await seat.session.get(READABLE[which % len(READABLE)], value)
    if row is not None and row not in seat.known:
        seat.known.append(row)
    return None if row is None else _look_at(row)


async def _read_columns(seat: Seat, which: int, value: int) -> object:
    """Columns, an entity beside a scalar subquery, one value, and what `execute` gives."""
    count = select(func.count(Note.id)).scalar_subquery()
    if value == 0:
        found = await seat.session.exec(select(Author, count).order_by(Author.id))
        return [(_look_at(author), number) for author, number in found.all()]
    if value == 1:
        return await seat.session.scalar(select(Author.age).where(Author.id == which))
    if value == 2:
        rows = await seat.session.execute(select(Book.title, count.label("n")).limit(which))
        return [(row.n, row[0], row._mapping["n"]) for row in rows.all()]
    if value == 3:
        return sorted((await seat.session.scalars(select(Tag.label))).all())
    missing = await seat.session.exec(select(literal(10) / Author.age).where(Author.id == which))
    return [int(each) for each in missing.all()]


async def _lock(seat: Seat, which: int, value: int) -> object:
    kind = READABLE[which % len(READABLE)]
    query = select(kind).where(kind.id == value).with_for_update()
    rows = (await seat.session.exec(query)).all()
    seat.known += [row for row in rows if row not in seat.known]
    return [_look_at(row) for row in rows]


RAW = (
    "INSERT INTO play_log (what) VALUES ('raw')",
    "UPDATE play_author SET age = age - 1",
    "DELETE FROM play_author",
    "SELECT count(*) FROM play_log",
    "SELECT 1 / 0",
)


async def _run_text(seat: Seat, _which: int, value: int) -> object:
    connection = await seat.session.connection()
    found = await connection.execute(text(RAW[value % len(RAW)]))
    return found.all() if found.returns_rows else found.rowcount


async def _run_on_driver(seat: Seat, which: int, _value: int) -> None:
    """Write on the driver's own connection, after a read: by that a stock session begins."""
    await seat.session.exec(select(Log.id))
    place = await (await seat.session.connection()).get_raw_connection()
    driver: Any = place.driver_connection
    await driver.execute(RAW[which % 3])


async def _read_at_once(seat: Seat, _which: int, value: int) -> object:
    """Read several times at once, after a first read: before it, both kinds refuse."""
    names = sorted((await seat.session.exec(select(Author.name))).all())

    async def read(number: int) -> list[str]:
        found = await seat.session.exec(select(Author.name).where(Author.id != -number))
        return sorted(found.all())

    answers = await asyncio.gather(*map(read, range(1, 3 + value)), return_exceptions=True)
    return [kind_of(each) if isinstance(each, Exception) else each == names for each in answers]


async def _read_setting(seat: Seat, _which: int, _value: int) -> object:
    """What a `connect` listener has set on the connection."""
    return (await seat.session.exec(select(func.current_setting("play.mark", True)))).all()


async def _update(seat: Seat, which: int, value: int) -> object:
    changed = update(Author).where(Author.id == which).values(age=value - 1)
    return (await seat.session.exec(changed)).rowcount


async def _expunge(seat: Seat, which: int, _value: int) -> None:
    if row := seat.pick(which):
        seat.session.expunge(row)


async def _merge(seat: Seat, which: int, _value: int) -> None:
    if row := seat.pick(which):
        seat.known.append(await seat.session.merge(row))


async def _refresh(seat: Seat, which: int, _value: int) -> None:
    if row := seat.pick(which):
        await seat.session.refresh(row)


async def _expire(seat: Seat, which: int, value: int) -> None:
    if row := seat.pick(which):
        seat.session.expire(row, ["id"] if value == 1 else None)


async def _listen(seat: Seat, which: int, value: int) -> None:
    """Listen to the session, or to its engine, from now on."""
    heard: list[object] = []

    def refuse(*_: object) -> None:
        heard.append(None)
        if len(heard) == value:
            raise RefusedError

    def add(sync: Session, *_: object) -> None:
        heard.append(None)
        if len(heard) <= value:
            sync.add(KINDS[which * value % len(KINDS)](value))

    def write(sync: Session, *_: object) -> None:
        heard.append(None)
        if len(heard) <= value:
            sync.connection().execute(text(RAW[0]))

    name, listener = (
        ("before_flush", add),
        ("before_flush", write),
        ("before_flush", refuse),
        ("after_flush", refuse),
        ("after_flush", write),
        ("after_flush_postexec", refuse),
        ("pending_to_persistent", refuse),
        ("before_commit", write),
        ("before_commit", refuse),
        ("after_commit", refuse),
        ("after_cursor_execute", refuse),
        ("after_execute", refuse),
    )[which % 12]
    is_engines = name.endswith("execute")
    target = seat.session.get_bind() if is_engines else seat.session.sync_session
    seat.listeners.enter_context(listening(target, name, listener))


async def _close(seat: Seat, _which: int, _value: int) -> None:
    seat.savepoints.clear()
    await seat.session.close()


OPERATIONS: dict[str, tuple[int, Callable[[Seat, int, int], Awaitable[object]]]] = {
    "add": (6, _add),
    "add and commit": (8, _add_and_commit),
    "change": (4, _change),
    "change and commit": (5, _change_and_commit),
    "delete": (2, _delete),
    "delete and commit": (3, _delete_and_commit),
    "relate": (3, _relate),
    "refer": (2, _refer),
    "flush": (2, _flush),
    "commit": (5, _commit),
    "roll back": (5, _rollback),
    "begin nested": (3, _begin_nested),
    "end nested": (4, _end_nested),
    "read": (8, _read),
    "get": (5, _get),
    "read columns": (5, _read_columns),
    "lock": (2, _lock),
    "text": (2, _run_text),
    "update": (2, _update),
    "expunge": (1, _expunge),
    "merge": (1, _merge),
    "refresh": (1, _refresh),
    "expire": (1, _expire),
    "listen": (1, _listen),
    "close": (1, _close),
    "on driver": (1, _run_on_driver),
    "at once": (1, _read_at_once),
    "setting": (1, _read_setting),
}
_steps = st.tuples(
    st.sampled_from([name for name, (weight, _) in OPERATIONS.items() for _ in range(weight)]),
    st.sampled_from([0, 0, 1]),
    st.integers(0, 14),
    st.integers(0, 4),
)
programs: st.SearchStrategy[Program] = st.lists(_steps, min_size=4, max_size=16)


def _look_at(row: Part) -> object:
    """What an object says of itself without asking the database."""
    state = inspect(row)
    names = state.mapper.columns.keys()
    loaded = {name: str(state.dict[name]) for name in names if name in state.dict}
    return type(row).__name__, state.persistent, state.deleted, state.detached, loaded


async def play(sessions: Callable[[], AsyncSession], program: Program) -> list[object]:
    """Run a program, and say what each of its steps came to."""
    with ExitStack() as listeners:
        seats = Seat(sessions(), listeners), Seat(sessions(), listeners)
        story: list[object] = [await _take(step, seats) for step in program]
    # one may not do: SQLAlchemy itself gives up where a savepoint fails to end
    for name, seat in product(("roll back", "roll back", "close"), range(len(seats))):
        story.append(await _take((name, seat, 0, 0), seats))
    for each in seats:
        with suppress(SQLAlchemyError):
            await each.session.invalidate()
    return story


async def _take(step: Step, seats: tuple[Seat, Seat]) -> tuple[str, object]:
    name, seat, which, value = step
    try:
        return name, await OPERATIONS[name][1](seats[seat], which, value)
    except Exception as error:  # noqa: BLE001  # what it raises is what is compared
        return name, kind_of(error)
