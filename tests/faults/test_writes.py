"""Writes through a bad network: once, whoever is lost on the way, and told as what is known."""

import asyncio
from typing import Any

import pytest
from sqlalchemy import func, insert, text, update
from sqlmodel import Field, col, select

from neonkit import Database, TableModel, create_engine
from neonkit.db import Condition, Driver, Key, PoolPolicy, TimeoutPolicy, open_scope
from neonkit.errors import NotFoundError, OutcomeUnknownError, ProblemError
from neonkit.local import WireProxy
from neonkit.local._network_faults import When

pytestmark = pytest.mark.both_drivers

_CUTS: tuple[When, ...] = ("before", "during", "after")


class Crate(TableModel, table=True):
    """Something to write."""

    id: int | None = Field(default=None, primary_key=True)
    label: str = Field(max_length=50)


class Full(ProblemError):  # noqa: N818  # a word of the test's
    """A refusal that is kept."""


def _key(value: str, **options: Any) -> Key:  # Key's own
    names: dict[type[ProblemError], str] = {NotFoundError: "not-found", Full: "full"}
    kinds = {name: kind for kind, name in names.items()}
    return Key(
        value,
        b"one caller",
        (b"one body",),
        slug_of=lambda error: names.get(type(error)),
        kind_of=kinds.__getitem__,
        **options,
    )


async def _add(db: Database, label: str, key: Key | None = None) -> str:
    new = insert(Crate).values(label=label).returning(col(Crate.label))
    added: str = (await db.execute(new, key)).scalar_one()
    return added


async def _labels(db: Database) -> list[str]:
    return list((await db.execute(select(Crate.label).order_by(col(Crate.id)))).scalars())


async def test_a_keyed_write_whose_reply_is_lost_is_sent_again(
    db: Database, neon: WireProxy
) -> None:
    """Whether it arrived or not: the key decides, the caller gets the row, and there is one."""
    await _add(db, "first", _key("key-of-first"))
    for when in _CUTS:
        neon.cut_at("statement", when=when)
        with open_scope(10) as scope:
            assert await _add(db, when, _key(f"key-of-{when}")) == when
        assert scope.doubts == 0
    assert neon.cuts == 3
    assert await _labels(db) == ["first", *_CUTS]


async def test_a_write_without_a_key_is_not_sent_again(db: Database, neon: WireProxy) -> None:
    """It may have been committed: that is said, and it has one effect or none."""
    for label in "abcdef":  # from the fifth on, its preparation takes no trip of its own
        await _add(db, label)
    for when in _CUTS:
        neon.cut_at("statement", when=when)
        with open_scope(10) as scope, pytest.raises(OutcomeUnknownError):
            await _add(db, when)
        assert scope.doubts == 1
    assert neon.cuts == 3
    assert await _labels(db) == [*"abcdef", "during", "after"]


async def test_what_never_left_is_sent_again(db: Database, neon: WireProxy) -> None:
    """A connection that was closed meanwhile took nothing along, key or not."""
    await _add(db, "a")
    neon.cut()
    await asyncio.sleep(0.05)  # until its end is noticed
    await _add(db, "b")
    neon.suspend(wake_seconds=0.1)
    await asyncio.sleep(0.05)
    await _add(db, "c")
    assert await _labels(db) == ["a", "b", "c"]


@pytest.mark.real_commits
async def test_an_error_that_says_that_nothing_happened_lets_it_be_sent_again(
    db: Database,
) -> None:
    """A deadlock, a lock that was not free: nothing was committed, so it may go again."""
    await _add(db, "a")
    async with db.session() as holder:
        await holder.exec(select(Crate).with_for_update())
        changing = asyncio.create_task(
            db.execute(update(Crate).values(label="b").returning(col(Crate.label)))
        )
        await asyncio.sleep(2.3)  # longer than LOCK_TIMEOUT
        assert not changing.done()
        await holder.rollback()
    assert (await changing).scalar_one() == "b"


@pytest.mark.real_commits
async def test_a_backend_that_is_ended_in_a_write(db: Database, database_driver: Driver) -> None:
    """57P01 before its end says that nothing happened, where the driver tells that it came first.

    asyncpg does not tell what came before it, so there it is unknown; under a key it is hidden.
    """
    await _add(db, "a")
    for key in (_key("key-of-b"), None):
        async with db.session() as holder:
            await holder.exec(select(Crate).with_for_update())
            changing = asyncio.create_task(db.execute(_LENGTHEN, key))
            while (await db.execute(_END_WAITING)).all() == []:
                pass
            await holder.rollback()
        if key is None and database_driver == "asyncpg":
            with pytest.raises(OutcomeUnknownError):
                await changing
        else:
            await changing
    assert await _labels(db) == ["a!" if database_driver == "asyncpg" else "a!!"]


_LENGTHEN = update(Crate).values(label=col(Crate.label) + "!").returning(col(Crate.label))
_OTHERS = "FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
_END_WAITING = text(f"SELECT pg_terminate_backend(pid) {_OTHERS}")


async def test_frozen_at_the_statement_that_commits(
    db: Database, neon: WireProxy, database_driver: Driver
) -> None:
    """Silent for longer than a statement may take: unknown without a key, hidden under one."""
    timeouts = TimeoutPolicy(connect=0.5, statement=0.3, lock=0.1, request=8)
    engine = create_engine(neon.url, driver=database_driver, timeouts=timeouts)
    async with Database(engine) as other:
        await _add(other, "a")
        for key in (None, _key("key-of-b")):
            neon.freeze()
            thawing = asyncio.get_running_loop().call_later(1.2, neon.thaw)
            with open_scope(8):
                if key is None:
                    with pytest.raises(OutcomeUnknownError):
                        await _add(other, "b")
                else:
                    assert await _add(other, "c", key) == "c"
            thawing.cancel()
            neon.thaw()
    labels = await _labels(db)
    assert labels.count("c") == 1
    assert labels.count("b") <= 1


async def test_a_busy_pool_is_no_answer_to_a_write_in_doubt(
    db: Database, neon: WireProxy, database_driver: Driver
) -> None:
    """Its reply lost, and the one connection taken by another: it waits on, and finds out."""
    pool = PoolPolicy(size=1, overflow=0, timeout=0.2)
    engine = create_engine(neon.url, driver=database_driver, pool=pool)
    async with Database(engine) as other:

        async def hold() -> None:
            async with other.session() as session:
                await session.exec(select(func.pg_sleep(0.6)))
                await session.rollback()

        await _add(other, "a", _key("key-of-a"))
        neon.cut_at("write", when="after")
        neon.freeze()
        trips = neon.trips
        with open_scope(8) as scope:
            writing = asyncio.create_task(_add(other, "b", _key("key-of-b")))
            while neon.trips == trips:  # noqa: ASYNC110  # the wire tells nobody
                await asyncio.sleep(0.005)
        holding = asyncio.create_task(hold())
        while other.waiting == 0:  # noqa: ASYNC110  # nor does the line
            await asyncio.sleep(0)
        neon.thaw()
        assert await writing == "b"
        await holding
        assert scope.doubts == 0
    assert await _labels(db) == ["a", "b"]


async def test_a_repeat_is_answered_before_conditions_that_its_first_time_changed(
    db: Database, neon: WireProxy
) -> None:
    """The row is gone because the write has happened: that is its answer, and not 404."""
    await _add(db, "a")
    there = Condition(select(Crate.id).where(col(Crate.label) == "a").exists(), NotFoundError)
    change = update(Crate).where(col(Crate.label) == "a").values(label="b")
    change_once = change.returning(col(Crate.label))
    neon.cut_at("statement", when="after")
    for _ in range(2):
        done = await db.execute(change_once, _key("key-of-change"), conditions=[there])
        assert done.scalar_one() == "b"
    assert neon.cuts == 1
    with pytest.raises(NotFoundError):
        await db.execute(change_once, _key("another-key"), conditions=[there])
