"""What the bases and mixins promise, on a real PostgreSQL."""

import asyncio
from enum import Enum

import pytest
from sqlalchemy import Table, inspect
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import selectinload
from sqlalchemy.orm.exc import StaleDataError
from sqlmodel import Field, Relationship, select, text, update
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database, TableModel, TimestampMixin, VersionMixin
from neonkit.errors import RelationNotLoadedError


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
