"""Units of work as people write them, and what each costs in round trips."""

from collections.abc import Awaitable, Callable
from uuid import uuid4

from sqlalchemy import insert
from sqlmodel import Field, Relationship, col, delete, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Database, TableModel, TimestampMixin, paginate
from neonkit.db import Key
from neonkit.resources import PageRequest

Work = Callable[[Database], Awaitable[object]]


class Crate(TimestampMixin, TableModel, table=True):
    """Something that holds books."""

    id: int | None = Field(default=None, primary_key=True)
    label: str = Field(max_length=50)
    books: list["Volume"] = Relationship(back_populates="crate", passive_deletes="all")


class Volume(TableModel, table=True):
    """Something on a crate."""

    id: int | None = Field(default=None, primary_key=True)
    crate_id: int = Field(foreign_key="crate.id")
    crate: Crate = Relationship(back_populates="books")


def in_session(work: Callable[[AsyncSession], Awaitable[object]]) -> Work:
    """Plain session code as a unit of work of a database."""

    async def run(db: Database) -> object:
        async with db.session() as session:
            return await work(session)

    return run


async def _crate(session: AsyncSession) -> Crate:
    newest = select(Crate).order_by(col(Crate.id).desc()).limit(1)
    return (await session.exec(newest)).one()


async def _list(session: AsyncSession) -> object:
    return (await session.exec(select(Crate).limit(10))).all()


async def _create(session: AsyncSession) -> Crate:
    crate = Crate(label="new")
    session.add(crate)
    await session.commit()
    assert crate.id
    assert crate.created_at.tzinfo
    return crate


async def _change(session: AsyncSession) -> None:
    crate = await _crate(session)
    before = crate.updated_at
    crate.label = f"{crate.label[:10]}!{crate.id}"
    await session.commit()
    assert crate.updated_at >= before


async def _delete(session: AsyncSession) -> None:
    await session.delete(await _crate(session))
    await session.commit()


async def _create_two(session: AsyncSession) -> None:
    crate = Crate(label="new")
    session.add(crate)
    await session.flush()
    session.add(Volume(crate_id=crate.id or 0))
    await session.commit()


async def _update(session: AsyncSession) -> None:
    await session.exec(update(Crate).where(col(Crate.id) == 1).values(label="one"))
    await session.commit()


async def _remove(session: AsyncSession) -> None:
    await session.exec(delete(Crate).where(col(Crate.id) == 0))
    await session.commit()


async def _execute(db: Database) -> None:
    made = await db.execute(insert(Crate).values(label="lone").returning(col(Crate.id)))
    assert made.scalar_one() > 0


async def _execute_keyed(db: Database) -> None:
    key = Key(uuid4().hex, b"caller", (b"body",))
    made = await db.execute(insert(Crate).values(label="lone").returning(col(Crate.id)), key)
    assert made.scalar_one() > 0


async def _page(db: Database) -> None:
    async with db.read_session() as session:
        page = PageRequest(total="exact")
        found = await paginate(session, select(Crate), page, sort=[col(Crate.id)])
        assert found.total


ROWS: dict[str, tuple[Work, int]] = {
    "read": (in_session(_crate), 1),
    "list": (in_session(_list), 1),
    "create": (in_session(_create), 1),
    "read, change, commit": (in_session(_change), 2),
    "read, delete, commit": (in_session(_delete), 2),
    "two statements and commit": (in_session(_create_two), 4),
    "update and commit": (in_session(_update), 3),
    "delete and commit": (in_session(_remove), 3),
    "db.execute": (_execute, 1),
    "db.execute under a key": (_execute_keyed, 1),
    "page with total": (_page, 1),
}
read, create = ROWS["read"][0], ROWS["create"][0]
