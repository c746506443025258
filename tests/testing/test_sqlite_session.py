"""In-memory SQLite, for models that need nothing of PostgreSQL, and clear words for the others."""

import pytest
from sqlalchemy import UniqueConstraint, func
from sqlalchemy.dialects.postgresql import ARRAY, TEXT
from sqlalchemy.exc import IntegrityError
from sqlmodel import Field, select
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import TableModel, TimestampMixin
from neonkit.errors import ConfigurationError


class Shelf(TimestampMixin, TableModel, table=True):
    """A table that any database can hold."""

    id: int | None = Field(default=None, primary_key=True)
    label: str = Field(unique=True, max_length=20)


class Book(TableModel, table=True):
    """One that refers to it."""

    id: int | None = Field(default=None, primary_key=True)
    shelf_id: int = Field(foreign_key="shelf.id", index=True)


class Leaflet(TableModel, table=True):
    """One that only PostgreSQL can hold."""

    id: int | None = Field(default=None, primary_key=True)
    pages: list[str] = Field(default_factory=list, sa_type=ARRAY(TEXT))


class Place(TableModel, table=True):
    """In an order that is right again at the end of each transaction."""

    __table_args__ = (UniqueConstraint("position", deferrable=True, initially="DEFERRED"),)

    id: int | None = Field(default=None, primary_key=True)
    position: int


@pytest.mark.parametrize("time", ["first", "second"])
async def test_each_test_has_its_own(sqlite_session: AsyncSession, time: str) -> None:
    """What one test commits the next does not see; the server's values come back."""
    assert time
    shelf = Shelf(label="a")
    sqlite_session.add(shelf)
    await sqlite_session.commit()
    assert shelf.created_at.utcoffset() is not None
    assert len((await sqlite_session.exec(select(Shelf))).all()) == 1


async def test_foreign_keys_are_enforced(sqlite_session: AsyncSession) -> None:
    """A reference to nothing is refused, which SQLite by itself would take."""
    sqlite_session.add(Book(shelf_id=4711))
    with pytest.raises(IntegrityError):
        await sqlite_session.commit()


async def test_a_table_that_needs_postgres_is_named(sqlite_session: AsyncSession) -> None:
    """Using it says which type of which column SQLite does not have, and what to use instead."""
    with pytest.raises(ConfigurationError, match=r"ARRAY of column pages.*fixture `session`"):
        await sqlite_session.exec(select(Leaflet))


async def test_a_definition_that_needs_postgres_is_named(sqlite_session: AsyncSession) -> None:
    """A table that SQLite cannot make is left out, and harms the others in nothing."""
    with pytest.raises(ConfigurationError, match=r"DEFERRABLE.*fixture `session`"):
        await sqlite_session.exec(select(Place))


async def test_a_function_that_needs_postgres_is_named(sqlite_session: AsyncSession) -> None:
    """So does a function."""
    with pytest.raises(ConfigurationError, match="does not have pg_sleep"):
        await sqlite_session.exec(select(func.pg_sleep(0)))
