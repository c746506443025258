"""Plain reads go by ready plans, and come to what SQLAlchemy's own execution comes to."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import pytest
from sqlalchemy import event, func, literal, text
from sqlalchemy import inspect as inspected
from sqlalchemy.exc import DBAPIError
from sqlalchemy.orm import selectinload
from sqlmodel import Field, Relationship, SQLModel, col, select

from neonkit import Database, create_engine
from neonkit.db import AsyncSession
from neonkit.db._plans.reads import ReadyRead, read_by_plan
from neonkit.db._plans.reasons import Call, why_not_by_plan
from neonkit.local import WireProxy
from support.stock import listening

# the tests ask in each way that there is
pytestmark = pytest.mark.filterwarnings("ignore:[\\s\\S]*session.exec:DeprecationWarning")

Read = Callable[[AsyncSession], Awaitable[Any]]


class Loom(SQLModel, table=True):
    """Has cloths."""

    __tablename__ = "plan_loom"  # pyright: ignore[reportAssignmentType]  # as SQLModel documents it
    id: int | None = Field(default=None, primary_key=True)
    name: str
    width: int = 0
    cloths: list["Cloth"] = Relationship(back_populates="loom")


class Cloth(SQLModel, table=True):
    """May be on a loom."""

    __tablename__ = "plan_cloth"  # pyright: ignore[reportAssignmentType]  # the same
    id: int | None = Field(default=None, primary_key=True)
    loom_id: int | None = Field(default=None, foreign_key="plan_loom.id")
    loom: Loom | None = Relationship(back_populates="cloths")


@pytest.fixture
async def looms(neon: WireProxy) -> AsyncIterator[Database]:
    """Two looms and two cloths, one of which is on a loom."""
    engine = create_engine(neon.url, plain_functions=["pg_sleep"])
    async with Database(engine, ready_plans=True) as db:
        async with db.engine.begin() as connection:
            await connection.execute(text("TRUNCATE plan_loom, plan_cloth"))
        async with db.session() as session:
            session.add_all([Loom(id=1, name="a", width=2), Loom(id=2, name="b")])
            await session.flush()
            session.add_all([Cloth(id=1, loom_id=1), Cloth(id=2)])
            await session.commit()
        yield db


@pytest.fixture
def by_plan(monkeypatch: pytest.MonkeyPatch) -> list[object]:
    """What was read by a plan."""
    taken: list[object] = []

    async def note(session: Any, read: ReadyRead, begin_on: Any, leave: Any) -> Any:  # noqa: ANN401  # passed on
        result = await read_by_plan(session, read, begin_on, leave)
        if result is not None:
            taken.append(read.sent.statement)
        return result

    monkeypatch.setattr("neonkit.db._units.sessions.read_by_plan", note)
    return taken


def _look(value: object) -> object:
    """All that an object's state says, and what else there is as it is."""
    if isinstance(value, list):
        return [_look(each) for each in value]
    if isinstance(value, tuple):
        return tuple(_look(each) for each in value)
    if not isinstance(value, SQLModel):
        return value
    state = inspected(value)
    assert state is not None
    return (
        {name: each for name, each in state.dict.items() if not name.startswith("_")},
        *(state.key, state.identity_token, state.persistent, state.modified, state.expired),
        *(state.load_options, state.load_path, sorted(state.unloaded), state.expired_attributes),
        *(dict(state.committed_state), state.session is not None),
        [(each.key, each.history) for each in state.attrs if each.key in state.dict],
    )


async def _one(session: AsyncSession) -> object:
    return (await session.exec(select(Loom).where(col(Loom.id) == 1))).one()


async def _columns(session: AsyncSession) -> object:
    asked = select(col(Loom.name), (col(Loom.width) + 1).label("wider")).order_by(col(Loom.id))
    result: Any = await session.exec(asked)
    keys, rows = list(result.keys()), result.all()
    return keys, [(row.wider, row._mapping[col(Loom.name)], tuple(row)) for row in rows]


async def _mixed(session: AsyncSession) -> object:
    count = select(func.count(col(Loom.id))).scalar_subquery()
    asked = select(Cloth, Loom, count).join(Loom, isouter=True).order_by(col(Cloth.id))
    return [tuple(row) for row in (await session.exec(asked)).all()]


async def _twice(session: AsyncSession) -> object:
    first = (await session.exec(select(Loom).order_by(col(Loom.id)))).all()
    again = (await session.exec(select(Loom).order_by(col(Loom.id)))).all()
    return first, [one is other for one, other in zip(first, again, strict=True)]


async def _expired(session: AsyncSession) -> object:
    (loom,) = (await session.exec(select(Loom).where(col(Loom.id) == 2))).all()
    session.expire(loom, ["name"])
    again = (await session.exec(select(Loom).where(col(Loom.id) == 2))).one()
    return again, again is loom


async def _changed(session: AsyncSession) -> object:
    loom = (await session.exec(select(Loom).where(col(Loom.id) == 2))).one()
    loom.name = "changed"
    with session.no_autoflush:
        return (await session.exec(select(Loom).where(col(Loom.id) == 2))).one()


async def _begun(session: AsyncSession) -> object:
    loom = (await session.exec(select(Loom).where(col(Loom.id) == 1))).one()
    has_begun = session.in_transaction()
    await session.rollback()
    state = inspected(loom)
    assert state is not None
    return has_begun, state.expired


async def _unique(session: AsyncSession) -> object:
    result = await session.execute(select(Loom).join(Cloth, literal(value=True)))
    return sorted(loom.name for loom in result.unique().scalars())


async def _get(session: AsyncSession) -> object:
    return await session.get(Loom, 1), await session.get(Loom, 7), await session.get(Loom, 1)


async def _scalars(session: AsyncSession) -> object:
    looms = select(Loom).order_by(col(Loom.id))
    return (await session.scalars(looms)).all(), await session.scalar(select(col(Loom.name)))


@pytest.mark.parametrize(
    "read", [_one, _columns, _mixed, _twice, _expired, _changed, _begun, _unique, _get, _scalars]
)
async def test_a_plan_comes_to_the_same(looms: Database, by_plan: list[object], read: Read) -> None:
    """Rows, keys, objects and their states in full are those of SQLAlchemy's own execution."""
    async with looms.session() as session:
        await read(session)
        await session.rollback()
    by_plan.clear()
    async with looms.session() as session:
        planned = _look(await read(session))
        await session.rollback()
    assert by_plan
    async with looms.session() as session:
        session.sync_session.ready_plans = False
        by_plan.clear()
        usual = _look(await read(session))
        await session.rollback()
    assert not by_plan

    assert planned == usual


async def test_an_error_is_the_same(looms: Database, by_plan: list[object]) -> None:
    """Class, cause, statement, parameters and the fate of the connection; more reads work."""

    async def divide(session: AsyncSession, which: int) -> object:
        asked = select(literal(10) / col(Loom.width)).where(col(Loom.id) == which)
        return (await session.exec(asked)).all()

    async def fail(session: AsyncSession) -> list[object]:
        await divide(session, 1)
        with pytest.raises(DBAPIError) as caught:
            await divide(session, 2)
        error = caught.value
        await divide(session, 1)
        orig = type(error.orig), getattr(error.orig, "sqlstate", None)
        return [type(error), orig, error.statement, error.params, error.connection_invalidated]

    async with looms.session() as session:
        await divide(session, 1)
    by_plan.clear()
    async with looms.session() as session:
        planned = await fail(session)
    assert len(by_plan) == 2
    async with looms.session() as session:
        session.sync_session.ready_plans = False
        assert await fail(session) == planned


async def test_a_cancelled_read_frees_its_slot(looms: Database, by_plan: list[object]) -> None:
    """Its connection is ended, since the answer is still to come."""

    async def sleep(seconds: float) -> None:
        async with looms.session() as session:
            await session.exec(select(func.pg_sleep(seconds).is_(None), col(Loom.id)))

    await sleep(0)
    await sleep(0)
    assert by_plan
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.1):
            await sleep(30)
    assert looms.pool_use.checked_out == 0
    await sleep(0)


def _never(*_: object) -> None:
    """Hear something."""


async def test_what_stands_against_a_plan(looms: Database) -> None:
    """Each clause of the rule has its reason; a session of a request has none."""
    asked = select(Loom)
    usual = Call(asked, None, {"prebuffer_rows": True}, {})
    async with looms.session() as session:
        await session.exec(asked)
        sync, bind = session.sync_session, looms.engine.sync_engine
        assert why_not_by_plan(sync, usual) is None
        for call in (
            usual._replace(statement=Loom.__table__.select()),  # type: ignore[attr-defined]  # SQLModel's
            usual._replace(statement=asked.options(selectinload(Loom.cloths))),  # type: ignore[arg-type]  # SQLModel's
            usual._replace(statement=asked.execution_options(populate_existing=True)),
            usual._replace(options={"populate_existing": True}),
            usual._replace(options={"schema_translate_map": {None: "other"}}),
            usual._replace(parameters=[{}, {}]),
            usual._replace(rest={"bind_arguments": {"mapper": Loom}}),
        ):
            assert why_not_by_plan(sync, call) is not None, call
        for target, name in (
            (sync, "do_orm_execute"),
            (sync, "loaded_as_persistent"),
            (bind, "before_execute"),
            (bind, "handle_error"),
        ):
            with listening(target, name, _never):
                assert why_not_by_plan(sync, usual) == f"somebody listens to {name}"
        session.add(Loom(id=9, name="new"))
        assert why_not_by_plan(sync, usual) == "it flushes first"
        await session.flush()
        assert why_not_by_plan(sync, usual) == "the session holds a connection"
        await session.rollback()


async def test_who_hears_of_loading_is_told(looms: Database, by_plan: list[object]) -> None:
    """A class whose loading somebody listens to is loaded by SQLAlchemy."""
    heard: list[object] = []

    def note(target: object, _context: object) -> None:
        heard.append(target)

    async with looms.session() as session:
        await session.exec(select(Cloth))
    by_plan.clear()
    event.listen(Cloth, "load", note)
    try:
        async with looms.session() as session:
            found = (await session.exec(select(Cloth))).all()
    finally:
        event.remove(Cloth, "load", note)

    assert (len(heard), by_plan) == (len(found), [])
