"""What the bases and mixins promise, on a real PostgreSQL."""

import asyncio
from datetime import datetime
from enum import Enum, IntEnum
from typing import Any, ClassVar

import pytest
from sqlalchemy import CheckConstraint, Index, Table, func, inspect
from sqlalchemy.dialects import postgresql
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import declared_attr, selectinload
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Field, Relationship, SQLModel, col, select, text, update
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database, TableModel, TimestampMixin, VersionMixin
from neonkit.db import problem_error_of
from neonkit.errors import HasDependentsError, RelationNotLoadedError
from neonkit.models._number_enums import NumberEnum


class Mood(Enum):
    """How a bird feels: the names differ from the values."""

    GOOD = "well"
    BAD = "unwell"


class Nest(TableModel, table=True):
    """Where birds live."""

    id: int | None = Field(default=None, primary_key=True)
    tree: str = Field(max_length=50, unique=True)
    birds: list["Bird"] = Relationship(back_populates="nest")


class Bird(TimestampMixin, VersionMixin, TableModel, table=True):
    """Something with a bit of everything."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=50)
    mood: Mood = Mood.GOOD
    former_mood: Mood | None = Field(default=None)
    nest_id: int | None = Field(default=None, foreign_key="nest.id", index=True)
    nest: Nest | None = Relationship(back_populates="birds")


async def _hatch(session: AsyncSession) -> Bird:
    bird = Bird(name="wren", nest=Nest(tree="oak"))
    session.add(bird)
    await session.commit()
    return bird


async def test_times_are_the_servers(db: Database) -> None:
    """`created_at` stays, `updated_at` moves with each change; both come back without a refresh."""
    async with db.session() as session:
        bird = await _hatch(session)
        created, updated = bird.created_at, bird.updated_at
        assert created.utcoffset() is not None
        assert created == updated

    async with db.session() as session:
        await asyncio.sleep(0.01)
        again = (await session.exec(select(Bird))).one()
        again.name = "robin"
        await session.commit()
        assert again.created_at == created


@pytest.mark.real_commits
async def test_an_update_really_moves_updated_at(db: Database) -> None:
    """A later transaction gives a later `updated_at`, for a changed object and for a statement."""
    async with db.session() as session:
        bird = await _hatch(session)
        first = bird.updated_at
        bird.name = "robin"
        await session.commit()
        second = bird.updated_at
        await session.exec(update(Bird).values(name="tit"))
        await session.commit()
        third = (await session.exec(select(Bird.updated_at))).one()

    assert first < second < third


async def test_enums_are_text_by_value_with_a_check(db: Database) -> None:
    """The column holds the value; the database refuses any other."""
    async with db.session() as session:
        await _hatch(session)
        connection = await session.connection()
        assert (await connection.execute(text("SELECT mood FROM bird"))).scalar_one() == "well"
        with pytest.raises(IntegrityError, match="ck_bird_mood"):
            await connection.execute(text("UPDATE bird SET mood = 'GOOD'"))
        await session.rollback()


async def test_a_relation_that_was_not_loaded_names_the_remedy(db: Database) -> None:
    """Touching it raises, with the option to add; loading it works."""
    async with db.session() as session:
        await _hatch(session)

    async with db.session() as session:
        nest = (await session.exec(select(Nest))).one()
        with pytest.raises(RelationNotLoadedError, match=r"selectinload\(Nest\.birds\)"):
            _ = nest.birds

    async with db.session() as session:
        option = selectinload(Nest.birds)  # type: ignore[arg-type]  # typed as a list by SQLModel
        nest = (await session.exec(select(Nest).options(option))).one()
        assert [bird.name for bird in nest.birds] == ["wren"]
        assert nest.birds[0].nest is nest


async def test_a_version_counts_changes_and_refuses_outdated_ones(db: Database) -> None:
    """It starts at 1, grows with each change, and an outdated object cannot be saved."""
    async with db.session() as session:
        bird = await _hatch(session)
        assert bird.version == 1
        bird.name = "robin"
        await session.commit()
        assert bird.version == 2

        connection = await session.connection()
        await connection.execute(text("UPDATE bird SET version = 7"))
        bird.name = "tit"
        with pytest.raises(StaleDataError):
            await session.commit()
        await session.rollback()


def _table(model: type[TableModel]) -> Table:
    table = inspect(model).local_table
    assert isinstance(table, Table)
    return table


def test_constraints_have_names_by_one_convention() -> None:
    """Names lead back to table and column."""
    names = {str(constraint.name) for constraint in _table(Bird).constraints}
    names |= {str(constraint.name) for constraint in _table(Nest).constraints}

    assert names == {
        "pk_bird",
        "fk_bird_nest_id",
        "ck_bird_mood",
        "ck_bird_former_mood",
        "pk_nest",
        "uq_nest_tree",
    }
    assert {index.name for index in _table(Bird).indexes} == {"ix_bird_nest_id"}
    assert str(_table(Bird).columns["mood"].type) == "VARCHAR(6)"


class Size(IntEnum):
    """Numbers whose text is in another order."""

    SMALL = 2
    HUGE = 10


class Flag(int, Enum):
    """Numbers, as enums were written before `IntEnum`."""

    UP = 1
    DOWN = -1


class InSchemaOfItsOwn(TableModel):
    """A base that says something about its tables."""

    __table_args__: ClassVar[Any] = {"comment": "of the base"}
    __mapper_args__: ClassVar[Any] = {"confirm_deleted_rows": False}


class Checked:
    """A mixin that is no model, with a constraint for each table."""

    @declared_attr.directive
    def __table_args__(cls) -> tuple[Any, ...]:  # noqa: N805  # SQLAlchemy's hook
        return (CheckConstraint("id > 0", name="positive"),)


class Egg(Checked, VersionMixin, InSchemaOfItsOwn, table=True):
    """A class with declarations of its own, and two bases with theirs."""

    __table_args__ = (  # pyright: ignore[reportAssignmentType]  # a base has it as a directive
        Index("ix_egg_by_size", "size"),
        {"info": {"own": True}},
    )
    __mapper_args__: ClassVar[Any] = {"polymorphic_on": "kind", "polymorphic_identity": "egg"}

    id: int | None = Field(default=None, primary_key=True)
    kind: str = "egg"
    size: Size = Size.SMALL
    flag: Flag | None = None


class Coop(TableModel, table=True):
    """A row that others need, or may do without."""

    id: int | None = Field(default=None, primary_key=True)
    hens: list["Hen"] = Relationship(back_populates="coop")
    guests: list["Guest"] = Relationship(back_populates="coop")
    chicks: list["Chick"] = Relationship(back_populates="coop", cascade_delete=True)


class Hen(TableModel, table=True):
    """A row whose key may be NULL, but whose foreign key does not say that it may become so."""

    id: int | None = Field(default=None, primary_key=True)
    coop_id: int | None = Field(default=None, foreign_key="coop.id")
    coop: Coop | None = Relationship(back_populates="hens")


class Guest(TableModel, table=True):
    """A row whose foreign key says that it may lose its coop."""

    id: int | None = Field(default=None, primary_key=True)
    coop_id: int | None = Field(default=None, foreign_key="coop.id", ondelete="SET NULL")
    coop: Coop | None = Relationship(back_populates="guests")


class Chick(TableModel, table=True):
    """A row that goes with its coop."""

    id: int | None = Field(default=None, primary_key=True)
    coop_id: int = Field(foreign_key="coop.id")
    coop: Coop | None = Relationship(back_populates="chicks")


class Plain(SQLModel, table=True):
    """A class as SQLModel's own docs teach it."""

    id: int | None = Field(default=None, primary_key=True)
    name: str
    changed: datetime | None = Field(
        default=None, sa_column_kwargs={"server_default": func.now(), "onupdate": func.now()}
    )


async def test_an_enum_of_numbers_is_a_number(db: Database) -> None:
    """It is compared and sorted as one, and comes back as its member."""
    async with db.session() as session:
        session.add_all(Egg(size=size, flag=Flag.DOWN) for size in reversed(Size))
        await session.commit()
        sizes = (await session.exec(select(Egg.size).order_by(col(Egg.size)))).all()
        huge = (await session.exec(select(Egg).where(Egg.size >= 9))).all()
        connection = await session.connection()
        kept = (await connection.execute(text("SELECT max(size), min(flag) FROM egg"))).one()

    assert list(sizes) == [Size.SMALL, Size.HUGE]
    assert all(isinstance(size, Size) for size in sizes)
    assert [(egg.size, egg.flag) for egg in huge] == [(Size.HUGE, Flag.DOWN)]
    assert tuple(kept) == (10, -1)


def test_a_number_that_no_member_has_is_refused() -> None:
    """In Python, before it is sent."""
    dialect = postgresql.dialect()  # type: ignore[no-untyped-call]  # SQLAlchemy's
    with pytest.raises(ValueError, match="3 is not a valid Size"):
        NumberEnum(Size).process_bind_param(3, dialect)


async def test_a_classes_own_declarations_add_to_those_of_its_bases(db: Database) -> None:
    """Version, defaults, options, constraints and indexes: none is lost to another."""
    mapper, table = inspect(Egg), _table(Egg)
    async with db.session() as session:
        egg = Egg()
        session.add(egg)
        await session.commit()
        egg.kind = "egg"
        egg.size = Size.HUGE
        await session.commit()

    assert egg.version == 2
    assert (mapper.polymorphic_identity, mapper.eager_defaults) == ("egg", True)
    assert mapper.confirm_deleted_rows is False
    assert table.comment == "of the base"
    assert table.info["own"] is True
    assert "ix_egg_by_size" in {index.name for index in table.indexes}
    assert "ck_egg_positive" in {constraint.name for constraint in table.constraints}


async def test_what_an_update_lets_the_server_make_is_loaded(db: Database) -> None:
    """Of a plain SQLModel class too: no refresh, no attribute that must not be touched."""
    async with db.session() as session:
        plain = Plain(name="a")
        session.add(plain)
        await session.commit()
        plain.name = "b"
        await session.commit()

    assert inspect(plain).unloaded == set()
    assert plain.changed is not None


@pytest.mark.parametrize(
    ("dependent", "is_refused", "stays"),
    [(Hen, True, True), (Guest, False, True), (Chick, False, False)],
)
async def test_the_foreign_key_decides_what_becomes_of_dependents(
    db: Database, dependent: type[Any], is_refused: bool, stays: bool
) -> None:
    """Refused, set to NULL or deleted, as the model says; nothing is orphaned in silence."""
    async with db.session() as session:
        coop = Coop()
        session.add(coop)
        session.add(dependent(coop=coop))
        await session.commit()
        key = coop.id

    async with db.session() as session:
        coop = await session.get_one(
            Coop,
            key,
            options=[selectinload(Coop.chicks)],  # type: ignore[arg-type]  # SQLModel's lists
        )
        await session.delete(coop)
        if is_refused:
            with pytest.raises(IntegrityError) as caught:
                await session.commit()
            assert isinstance(problem_error_of(caught.value), HasDependentsError)
            await session.rollback()
        else:
            await session.commit()
        left = (await session.exec(select(dependent))).all()
        assert [row.coop_id for row in left] == ([key if is_refused else None] if stays else [])


async def test_a_dependent_that_is_taken_from_the_list_loses_its_key(db: Database) -> None:
    """The list is written still, by the other side of the relation."""
    async with db.session() as session:
        coop = Coop(hens=[Hen(), Hen()])
        session.add(coop)
        await session.commit()
        coop.hens.pop()
        await session.commit()
        keys = (await session.exec(select(Hen.coop_id).order_by(col(Hen.id)))).all()

    assert list(keys) == [coop.id, None]
