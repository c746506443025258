"""Under a key a write happens once; colliding transactions are run again."""

import asyncio
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlalchemy import func, literal, text, update
from sqlalchemy.exc import DBAPIError
from sqlmodel import Field, SQLModel, col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database, TableModel
from neonkit.db import FaultKind, Key, UnstorableAnswerError, fault_of, open_scope
from neonkit.db._keys.answers import read_value, write_value
from neonkit.errors import (
    CommitNotYoursError,
    IdempotencyInProgressError,
    IdempotencyKeyReusedError,
    NotFoundError,
    ProblemError,
)

pytestmark = [pytest.mark.both_drivers, pytest.mark.real_commits]


class Coin(TableModel, table=True):
    """Something that is made once."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True, max_length=50)
    worth: int = Field(default=0)


class CoinRead(SQLModel):
    """A coin that was made."""

    id: int
    name: str


class TooDearError(ProblemError):
    """A refusal whose answer is kept."""

    detail = "It is too dear."


def make_key(value: str = "key-of-a-test", body: bytes = b"a", **options: Any) -> Key:  # Key's own
    """A key, of one caller and path."""
    kinds = {"too-dear": TooDearError}
    names = {kind: name for name, kind in kinds.items()}
    return Key(
        value,
        **{
            "scope": b"one caller",
            "fingerprints": (body,),
            "slug_of": lambda error: names.get(type(error)),
            "kind_of": kinds.__getitem__,
            **options,
        },
    )


async def mint(session: AsyncSession) -> CoinRead:
    """Make a coin, whatever its name."""
    coin = Coin(name=uuid4().hex)
    session.add(coin)
    await session.flush()
    return CoinRead.model_validate(coin)


async def count(db: Database) -> int:
    """How many coins there are."""
    async with db.read_session() as session:
        return (await session.exec(select(func.count(col(Coin.id))))).one()


async def test_twenty_at_once_have_one_effect_and_one_answer(db: Database) -> None:
    """One runs, and nineteen get its answer."""
    replays: list[int] = []
    keys = [make_key(on_replay=lambda: replays.append(1)) for _ in range(20)]
    made = await asyncio.gather(*[db.run_transaction(mint, key) for key in keys])

    assert len({coin.id for coin in made}) == 1
    assert (await count(db), len(replays)) == (1, 19)


async def test_keys_are_apart_by_value_and_scope(db: Database) -> None:
    """Another value, caller or path is another key."""
    for key in (make_key(), make_key("another-key-value"), make_key(scope=b"another caller")):
        await db.run_transaction(mint, key)

    assert await count(db) == 3


async def test_another_body_is_refused(db: Database) -> None:
    """It is not run, and the first answer stays; an older signing key's fingerprint counts."""
    first = await db.run_transaction(mint, make_key(body=b"old"))

    with pytest.raises(IdempotencyKeyReusedError):
        await db.run_transaction(mint, make_key(body=b"other"))
    again = await db.run_transaction(mint, make_key(fingerprints=(b"new", b"old")))

    assert again == first
    assert await count(db) == 1


async def test_a_key_in_flight_is_waited_for_and_then_said_to_be(db: Database) -> None:
    """Past LOCK_TIMEOUT the second is told apart from contention; the first is not disturbed."""
    may_end = asyncio.Event()

    async def slow(session: AsyncSession) -> CoinRead:
        made = await mint(session)
        await may_end.wait()
        return made

    first = asyncio.create_task(db.run_transaction(slow, make_key()))
    await asyncio.sleep(0.1)
    with pytest.raises(IdempotencyInProgressError):
        await db.run_transaction(mint, make_key())
    may_end.set()

    made = await first
    assert await db.run_transaction(mint, make_key()) == made


async def test_a_kept_refusal_undoes_its_effect_and_is_raised_again(db: Database) -> None:
    """The same error with the same words; its work is not there, also after things changed."""
    calls = 0

    async def refuse(session: AsyncSession) -> CoinRead:
        nonlocal calls
        calls += 1
        await mint(session)
        raise TooDearError("much too dear")

    for _ in range(2):
        with pytest.raises(TooDearError, match="much too dear"):
            await db.run_transaction(refuse, make_key())

    assert (calls, await count(db)) == (1, 0)


@pytest.mark.parametrize("error", [NotFoundError(), RuntimeError("ours")])
async def test_other_errors_leave_the_key_free(db: Database, error: Exception) -> None:
    """Nothing is kept, and the repeat runs."""

    async def fail(session: AsyncSession) -> CoinRead:
        await mint(session)
        raise error

    with pytest.raises(type(error)):
        await db.run_transaction(fail, make_key())
    assert await count(db) == 0

    await db.run_transaction(mint, make_key())
    assert await count(db) == 1


async def test_a_connection_that_is_lost_is_said_to_be(db: Database) -> None:
    """The fault is the driver's, not the savepoint's that could not be ended; the key is free."""

    async def lose(session: AsyncSession) -> CoinRead:
        made = await mint(session)
        await session.exec(select(func.pg_terminate_backend(func.pg_backend_pid())))
        return made

    with pytest.raises(DBAPIError) as caught:
        await db.run_transaction(lose, make_key())

    fault = fault_of(caught.value)
    assert fault is not None
    assert fault.kind is FaultKind.CONNECTION_LOST
    await db.run_transaction(mint, make_key())
    assert await count(db) == 1


async def test_effect_and_answer_are_committed_together(db: Database) -> None:
    """Where COMMIT fails neither is there: a deferred rule that is broken frees the key."""
    async with db.engine.begin() as connection:
        rule = "ALTER TABLE coin ADD CONSTRAINT late UNIQUE (worth) DEFERRABLE INITIALLY DEFERRED"
        await connection.execute(text(rule))
    await db.run_transaction(mint, make_key("first-of-its-worth"))

    with pytest.raises(Exception, match="late"):
        await db.run_transaction(mint, make_key())

    async with db.engine.connect() as connection:
        kept = await connection.execute(text("SELECT key FROM neonkit.keys"))
        assert kept.scalars().all() == ["first-of-its-worth"]
    assert await count(db) == 1


async def test_answers_expire_unless_they_are_for_good(db: Database) -> None:
    """An expired key is free again, and its row is used again; others are dropped in passing."""
    await db.run_transaction(mint, make_key("for-an-instant", lifetime=0.0))
    await db.run_transaction(mint, make_key(lifetime=0.0))
    await db.run_transaction(mint, make_key("kept-for-good").for_good())
    await db.run_transaction(mint, make_key())
    await db.run_transaction(mint, make_key("kept-for-good").for_good())

    assert await count(db) == 4
    async with db.engine.connect() as connection:
        kept = await connection.execute(text("SELECT key FROM neonkit.keys ORDER BY key"))
        assert kept.scalars().all() == ["kept-for-good", "key-of-a-test"]


async def test_one_statement_under_a_key(db: Database) -> None:
    """The same values of the same types on a repeat, and one effect."""
    moment = datetime(2026, 1, 31, 12, 0, 0, 123456, UTC)
    values = (Decimal("1.50"), moment, moment.date(), uuid4(), b"\x00\xff", None, True, "ä")
    statement = select(*[literal(value) for value in values]).add_columns(
        func.now().label("made_at")
    )
    insert = Coin.__table__.insert().returning(Coin.__table__.c.id)  # type: ignore[attr-defined]  # SQLModel's table

    first = (await db.execute(statement, make_key())).one()
    again = (await db.execute(statement, make_key())).one()
    made = [
        (await db.execute(insert.values(name="x", worth=1), make_key("an-insert-key"))).scalar_one()
        for _ in range(2)
    ]

    assert tuple(first) == tuple(again)
    assert first.made_at == again.made_at
    assert list(first)[:-1] == list(values)
    assert made[0] == made[1]
    assert await count(db) == 1


async def test_one_statement_without_a_key(db: Database) -> None:
    """It is committed, with its rows, or without any."""
    insert = Coin.__table__.insert()  # type: ignore[attr-defined]  # as above
    returning = insert.returning(Coin.__table__.c.name)  # type: ignore[attr-defined]  # as above

    made = await db.execute(returning.values(name="one", worth=0))
    await db.execute(insert.values(name="two", worth=0))

    assert made.scalar_one() == "one"
    assert await count(db) == 2


async def test_a_deadlock_is_run_again(db: Database) -> None:
    """Two that lock in opposite orders both succeed; nobody sees 40P01."""
    async with db.session() as session:
        session.add_all([Coin(name="left"), Coin(name="right")])
        await session.commit()
    both = asyncio.Barrier(2)

    def crossing(first: str, second: str) -> Any:  # noqa: ANN401  # a function
        is_first_run = True

        async def work(session: AsyncSession) -> None:
            nonlocal is_first_run
            await session.exec(update(Coin).where(col(Coin.name) == first).values(worth=1))
            if is_first_run:
                is_first_run = False
                await both.wait()
            await session.exec(update(Coin).where(col(Coin.name) == second).values(worth=2))

        return work

    with open_scope(10):
        await asyncio.gather(
            db.run_transaction(crossing("left", "right")),
            db.run_transaction(crossing("right", "left")),
        )


async def test_a_lost_update_under_serializable_is_run_again(db: Database) -> None:
    """Ten increments at once are ten (40001)."""
    async with db.session() as session:
        session.add(Coin(name="counter"))
        await session.commit()

    async def increment(session: AsyncSession) -> None:
        await session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
        found = select(Coin).where(col(Coin.name) == "counter")
        (await session.exec(found)).one().worth += 1

    await asyncio.gather(*[db.run_transaction(increment) for _ in range(10)])

    async with db.read_session() as session:
        assert (await session.exec(select(Coin.worth))).one() == 10


async def test_running_again_ends_with_the_deadline(db: Database) -> None:
    """The last collision is raised in time."""
    async with db.session() as session:
        session.add(Coin(name="held"))
        await session.commit()
    async with db.session() as holder:
        await holder.exec(select(Coin).with_for_update())
        with open_scope(3), pytest.raises((DBAPIError, TimeoutError)):
            await db.run_transaction(_lock)


async def _lock(session: AsyncSession) -> None:
    await session.exec(select(Coin).with_for_update())


async def test_the_function_does_not_commit(db: Database) -> None:
    """A commit of its own is refused before it is sent; savepoints are its own business."""

    async def commit(session: AsyncSession) -> CoinRead:
        made = await mint(session)
        await session.commit()
        return made

    async def nest(session: AsyncSession) -> CoinRead:
        async with session.begin_nested():
            return await mint(session)

    for key in (None, make_key()):
        with pytest.raises(CommitNotYoursError):
            await db.run_transaction(commit, key)
    assert await count(db) == 0
    await db.run_transaction(nest, make_key())
    assert await count(db) == 1


async def test_what_cannot_be_kept_is_said_before_anything_runs(db: Database) -> None:
    """A function under a key names its response model."""

    async def table(_session: AsyncSession) -> Coin:
        raise AssertionError("it must not run")

    async def nothing(_session: AsyncSession):  # type: ignore[no-untyped-def]  # noqa: ANN202  # the point
        raise AssertionError("it must not run")

    for work in (table, nothing):
        with pytest.raises(UnstorableAnswerError, match="response model"):
            await db.run_transaction(work, make_key())


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text()
    | st.binary()
    | st.decimals(allow_nan=False, allow_infinity=False)
    | st.datetimes(timezones=st.just(UTC))
    | st.dates()
    | st.times()
    | st.uuids()
    | st.timedeltas(timedelta(days=-999), timedelta(days=999)),
    lambda parts: st.lists(parts) | st.dictionaries(st.text(), parts),
)


@given(VALUES)
def test_values_survive_being_kept(value: object) -> None:
    """Any column's value comes back as it was, of the same type."""
    kept = read_value(write_value(value))

    assert kept == value
    assert type(kept) is type(value)
