"""Reads through a bad network: they are sent again, and nobody hears of it."""

from collections.abc import Awaitable, Callable

import pytest
from sqlalchemy import func, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import async_sessionmaker
from sqlmodel import Field, col, select

import neonkit
from neonkit import Database, Page, TableModel, paginate
from neonkit.db import Condition, FaultKind, fault_of, open_scope
from neonkit.errors import NotFoundError
from neonkit.local import WireProxy
from neonkit.local._conversation import Moment
from neonkit.local._network_faults import When
from neonkit.resources import PageRequest

pytestmark = pytest.mark.both_drivers


class Buoy(TableModel, table=True):
    """Something to read."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(max_length=50)


_BUOYS = select(Buoy).order_by(col(Buoy.id))
_UNJUDGED = select(func.quote_ident(Buoy.name)).order_by(col(Buoy.id))


async def _by_session(db: Database) -> list[str]:
    async with db.session() as session:
        return [each.name for each in await session.exec(_BUOYS)]


async def _by_reading_session(db: Database) -> list[str]:
    async with db.read_session() as session:
        return [each.name for each in await session.exec(_BUOYS)]


async def _by_a_maker_of_ones_own(db: Database) -> list[str]:
    maker = async_sessionmaker(db.engine, class_=neonkit.AsyncSession)
    async with maker() as session:
        return [each.name for each in await session.exec(_BUOYS)]


async def _in_a_transaction(db: Database) -> list[str]:
    async with db.read_session() as session:
        return list(await session.exec(_UNJUDGED))


async def _by_statement(db: Database) -> list[str]:
    return list((await db.execute(select(Buoy.name).order_by(col(Buoy.id)))).scalars())


async def _by_statement_under_a_condition(db: Database) -> list[str]:
    there = Condition(select(Buoy.id).exists(), NotFoundError)
    found = await db.execute(select(Buoy.name).order_by(col(Buoy.id)), conditions=[there])
    return list(found.scalars())


async def _by_page(db: Database) -> list[str]:
    async with db.read_session() as session:
        page: Page[Buoy] = await paginate(session, select(Buoy), PageRequest(), sort=[col(Buoy.id)])
        return [each.name for each in page.items]


Read = Callable[[Database], Awaitable[list[str]]]
_ROADS = [
    _by_session,
    _by_reading_session,
    _by_a_maker_of_ones_own,
    _in_a_transaction,
    _by_statement,
    _by_statement_under_a_condition,
    _by_page,
]


@pytest.mark.parametrize("read", _ROADS)
async def test_a_read_whose_reply_is_lost_is_sent_again(
    db: Database, neon: WireProxy, read: Read
) -> None:
    """Reset before the server hears of it, after it answered, and in the middle of the answer."""
    await _fill(db)
    moment: Moment = "begin" if read is _in_a_transaction else "statement"
    cuts: tuple[When, ...] = ("before", "after", "during")
    for number, when in enumerate(cuts, 1):
        neon.cut_at(moment, when=when)
        assert await read(db) == ["a", "b"]
        assert neon.cuts == number


async def test_a_read_after_the_database_fell_asleep_is_sent_again(
    db: Database, neon: WireProxy
) -> None:
    """In flight as it suspends, with 57P01 or without a word: both wait until it is awake."""
    await _fill(db)
    for _ in range(2):
        neon.cut_at("statement", when="before")
        neon.refuse(times=3)
        assert await _by_session(db) == ["a", "b"]
    neon.suspend(wake_seconds=0.2)
    assert await _by_statement(db) == ["a", "b"]


async def test_what_was_read_before_stays_as_it_was(db: Database, neon: WireProxy) -> None:
    """Only the statement whose reply was lost goes again: rows in hand keep their values."""
    await _fill(db)
    async with db.session() as session:
        first = (await session.exec(_BUOYS)).first()
        await db.execute(text("UPDATE buoy SET name = name || '!'"))
        neon.cut_at("statement", when="after")
        names = (await session.exec(select(Buoy.name).order_by(col(Buoy.id)))).all()
        assert first is not None
        assert (first.name, list(names)) == ("a", ["a!", "b!"])


@pytest.mark.parametrize("read", [_by_session, _by_statement])
async def test_a_read_that_never_comes_back_is_unavailable(
    db: Database, neon: WireProxy, read: Read
) -> None:
    """At the deadline nobody says that its outcome is unknown: it has none."""
    await _fill(db)
    neon.freeze()
    with open_scope(0.5) as scope, pytest.raises((DBAPIError, OSError)) as caught:
        await read(db)
    neon.thaw()
    fault = fault_of(caught.value)
    assert fault is not None
    assert fault.kind is FaultKind.UNAVAILABLE
    assert scope.doubts == 0


async def test_a_reading_transaction_whose_commit_is_lost_is_over(
    db: Database, neon: WireProxy
) -> None:
    """It wrote nothing, so nothing about it is unknown."""
    await _fill(db)
    async with db.read_session() as session:
        assert list(await session.exec(_UNJUDGED)) == ["a", "b"]
        neon.cut_at("commit", when="after")
        await session.commit()
    assert neon.cuts == 1


async def _fill(db: Database) -> None:
    async with db.session() as session:
        session.add_all([Buoy(name="a"), Buoy(name="b")])
        await session.commit()
