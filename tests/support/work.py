"""Units of work as people write them, and what each costs in round trips."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from uuid import uuid4

from sqlalchemy import func, insert
from sqlmodel import Field, Relationship, col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database, TableModel, TimestampMixin, paginate
from neonkit.db import Driver, Key
from neonkit.resources import PageRequest

Work = Callable[[Database], Awaitable[object]]


class Chest(TimestampMixin, TableModel, table=True):
    """Something that holds books."""

    id: int | None = Field(default=None, primary_key=True)
    label: str = Field(max_length=50)
    books: list["Volume"] = Relationship(back_populates="chest", passive_deletes="all")


class Volume(TableModel, table=True):
    """Something in a chest."""

    id: int | None = Field(default=None, primary_key=True)
    chest_id: int = Field(foreign_key="chest.id")
    chest: Chest = Relationship(back_populates="books")


def in_session(work: Callable[[AsyncSession], Awaitable[object]]) -> Work:
    """Plain session code as a unit of work of a database."""

    async def run(db: Database) -> object:
        async with db.session() as session:
            return await work(session)

    return run


async def _chest(session: AsyncSession) -> Chest:
    newest = select(Chest).order_by(col(Chest.id).desc()).limit(1)
    return (await session.exec(newest)).one()


async def _list(session: AsyncSession) -> object:
    return (await session.exec(select(Chest).limit(10))).all()


async def _create(session: AsyncSession) -> Chest:
    chest = Chest(label="new")
    session.add(chest)
    await session.commit()
    assert chest.id
    assert chest.created_at.tzinfo
    return chest


async def _change(session: AsyncSession) -> None:
    chest = await _chest(session)
    before = chest.updated_at
    chest.label = f"{chest.label[:10]}!{chest.id}"
    await session.commit()
    assert chest.updated_at >= before


async def _delete(session: AsyncSession) -> None:
    await session.delete(await _chest(session))
    await session.commit()


async def _create_two(session: AsyncSession) -> None:
    chest = Chest(label="new")
    session.add(chest)
    await session.flush()
    session.add(Volume(chest_id=chest.id or 0))
    await session.commit()


async def _create_many(session: AsyncSession) -> None:
    connection = await session.connection()
    await connection.execute(insert(Chest), [{"label": "one"}, {"label": "two"}])
    await session.commit()


async def _lock(session: AsyncSession) -> None:
    await session.exec(select(Chest).with_for_update().limit(1))


async def _stream(session: AsyncSession) -> None:
    rows = await session.stream_scalars(select(Chest).limit(1))
    assert [row async for row in rows]


async def _update(session: AsyncSession) -> None:
    await session.exec(update(Chest).where(col(Chest.id) == 1).values(label="one"))
    await session.commit()


async def _remove(session: AsyncSession) -> None:
    await session.exec(delete(Chest).where(col(Chest.id) == 0))
    await session.commit()


async def _execute(db: Database) -> None:
    made = await db.execute(insert(Chest).values(label="lone").returning(col(Chest.id)))
    assert made.scalar_one() > 0


async def _execute_keyed(db: Database) -> None:
    key = Key(uuid4().hex, b"caller", (b"body",))
    made = await db.execute(insert(Chest).values(label="lone").returning(col(Chest.id)), key)
    assert made.scalar_one() > 0


async def _page(db: Database) -> None:
    async with db.read_session() as session:
        page = PageRequest(total="exact")
        found = await paginate(session, select(Chest), page, sort=[col(Chest.id)])
        assert found.total


async def _estimate(session: AsyncSession) -> None:
    labelled = select(Chest).where(col(Chest.label) != "")
    page = PageRequest(total="estimated")
    assert (await paginate(session, labelled, page, sort=[col(Chest.id)])).total


async def _estimate_locked(session: AsyncSession) -> None:
    locked = select(Chest).where(func.pg_advisory_xact_lock_shared(col(Chest.id)).is_not(None))
    page = PageRequest(total="estimated")
    assert (await paginate(session, locked, page, sort=[col(Chest.id)])).total


@dataclass(frozen=True)
class Row:
    """A row of the table of round trips.

    Attributes:
        work: the unit of work.
        asyncpg: what it costs on asyncpg, directly or through a pooler that tracks statements.
        psycopg: what it costs on psycopg, through any pooler.
    """

    work: Work
    asyncpg: int
    psycopg: int

    def cost(self, driver: Driver) -> int:
        """What it costs on a driver."""
        return self.asyncpg if driver == "asyncpg" else self.psycopg


ROWS = {
    "read": Row(in_session(_chest), 1, 1),
    "list": Row(in_session(_list), 1, 1),
    "create": Row(in_session(_create), 1, 1),
    "read, change, commit": Row(in_session(_change), 2, 2),
    "read, delete, commit": Row(in_session(_delete), 2, 2),
    "two statements and commit": Row(in_session(_create_two), 4, 3),
    "update and commit": Row(in_session(_update), 3, 2),
    "delete and commit": Row(in_session(_remove), 3, 2),
    "many rows and commit": Row(in_session(_create_many), 4, 2),
    "a lock and rollback": Row(in_session(_lock), 3, 2),
    "stream": Row(in_session(_stream), 4, 7),
    "db.execute": Row(_execute, 1, 1),
    "db.execute under a key": Row(_execute_keyed, 1, 1),
    "page with total": Row(_page, 1, 1),
    "page with an estimate": Row(in_session(_estimate), 2, 1),
    "page with an estimate and rollback": Row(in_session(_estimate_locked), 4, 2),
}
read, create = ROWS["read"].work, ROWS["create"].work
