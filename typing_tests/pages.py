"""`paginate`: what a page holds follows from what the statement selects."""

from typing import Any, assert_type

from sqlalchemy import select as select_rows
from sqlmodel import col, select
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit import Page, paginate
from neonkit.resources import PageRequest, search_index
from typing_tests.evening import Note


async def one_thing(session: AsyncSession, page: PageRequest) -> Page[Note]:
    """An entity, or a column, by SQLModel's `select`: the thing itself."""
    entities = await paginate(session, select(Note), page, sort=[col(Note.id).desc()])
    assert_type(entities, Page[Note])
    assert_type(entities.items, list[Note])
    assert_type(entities.next_cursor, str | None)
    assert_type(entities.total, int | None)
    values = await paginate(session, select(Note.title), page, sort=[col(Note.title)])
    assert_type(values, Page[str])
    return entities


async def several(session: AsyncSession, page: PageRequest) -> None:
    """Several columns: rows, which answer as any model with those fields."""
    by_sqlmodel = select(col(Note.id), col(Note.title))
    rows = await paginate(session, by_sqlmodel, page, sort=[col(Note.id)], search=[col(Note.title)])
    assert_type(rows, Page[Any])
    by_sqlalchemy = select_rows(col(Note.id), col(Note.title))
    same = await paginate(session, by_sqlalchemy, page, sort=[col(Note.id)])
    assert_type(same, Page[Any])


async def refused(session: AsyncSession, page: PageRequest) -> None:
    """There is no list without a white list of sort keys, and none of a class."""
    await paginate(session, select(Note), page)  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue]  # `sort` is missing
    await paginate(session, Note, page, sort=[])  # type: ignore[call-overload]  # pyright: ignore[reportCallIssue, reportArgumentType]  # no statement


search_index("title")
