"""`Database` and `create_engine`, for scripts, tasks and sockets."""

from collections.abc import Sequence
from typing import Any, assert_type

from sqlalchemy import Result, text
from sqlalchemy.ext.asyncio import AsyncEngine
from sqlmodel import col, insert, select, update
from sqlmodel.ext.asyncio.session import AsyncSession

import neonkit
from neonkit import Condition, Database, create_engine
from neonkit.db import Key, PoolPolicy, TimeoutPolicy
from neonkit.dsn import Dsn
from neonkit.errors import NotFoundError
from typing_tests.evening import Note, NoteRead


def engines(url: str, dsn: Dsn) -> AsyncEngine:
    """An engine is SQLAlchemy's, of a URL as text or parsed."""
    assert_type(create_engine(url), AsyncEngine)
    assert_type(create_engine(dsn, driver="psycopg"), AsyncEngine)
    create_engine(url, driver="pg8000")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # there are two drivers
    create_engine(url, PoolPolicy())  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue]  # by name only
    return create_engine(url, pool=PoolPolicy(), timeouts=TimeoutPolicy(), echo=True)


async def execute(db: Database, key: Key, title: str) -> None:
    """A statement of any kind gives SQLAlchemy's result, with a key and without one."""
    new = insert(Note).values(title=title).returning(col(Note.id))
    assert_type(await db.execute(new), Result[Any])
    assert_type(await db.execute(new, key), Result[Any])
    assert_type(await db.execute(new, key=None), Result[Any])
    assert_type(await db.execute(text("SELECT :n"), parameters={"n": 1}), Result[Any])
    changed = update(Note).values(title=title)
    await db.execute(changed, conditions=[Condition(select(Note.id).exists(), NotFoundError)])
    await db.execute("DELETE FROM notes")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # text() makes a statement


async def run_transaction(db: Database, key: Key) -> None:
    """What the function returns is what comes back."""

    async def make(session: AsyncSession) -> NoteRead:
        note = Note(title="a")
        session.add(note)
        await session.flush()
        return NoteRead.model_validate(note.model_dump())

    assert_type(await db.run_transaction(make), NoteRead)
    assert_type(await db.run_transaction(make, key), NoteRead)

    def blocks(_session: AsyncSession) -> int:
        return 1

    await db.run_transaction(blocks)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]  # it must be async


async def sessions(engine: AsyncEngine) -> None:
    """Sessions are lent for a block, and a database is closed by one."""
    async with Database(engine, lone_writes=False) as db:
        assert_type(db, Database)
        assert_type(db.engine, AsyncEngine)
        async with db.session() as session:
            assert_type(session, neonkit.AsyncSession)
        async with db.read_session() as session:
            assert_type(session, neonkit.AsyncSession)
            assert_type((await session.exec(select(Note))).all(), Sequence[Note])
    assert_type(await db.close(), None)
