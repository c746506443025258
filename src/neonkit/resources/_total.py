"""How many rows a list has in all: counted, or estimated."""

import json
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Select,
    cast,
    column,
    func,
    select,
    table,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import Session
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit.db import Explain
from neonkit.resources._query import DIALECT, Shape

Total = Literal["none", "exact", "estimated"]

_CLASSES = table("pg_class", column("oid"), column("reltuples"), schema="pg_catalog")


def figure_of(
    statement: Select[*tuple[Any, ...]], shape: Shape, total: Total
) -> ColumnElement[Any] | None:
    """The total as a column of the page's own statement; `None` where that cannot be.

    A scalar subselect is evaluated once, where a window would carry every row. The estimate is
    what the last ANALYZE or VACUUM wrote down of the table, and -1 where there was none.
    """
    if total == "exact":
        return select(func.count()).select_from(statement.subquery()).scalar_subquery()
    if total == "estimated" and shape.whole is not None:
        name = cast(DIALECT.identifier_preparer.format_table(shape.whole), postgresql.REGCLASS)
        return select(_CLASSES.c.reltuples).where(_CLASSES.c.oid == name).scalar_subquery()
    return None


async def settle(
    session: AsyncSession,
    statement: Select[*tuple[Any, ...]],
    figure: ColumnElement[Any] | None,
    told: float | None,
) -> int:
    """The total, where the page could not tell: it was empty, or nobody has analysed the table.

    Args:
        session: what to ask with, at most twice.
        statement: the whole list.
        figure: from `figure_of`.
        told: what the page's rows say of it; `None` where it has no rows.
    """
    if told is None and figure is not None:
        told = await session.scalar(select(figure))
    if told is None or told < 0:
        told = await _expected(session, statement)
    return int(told)


async def _expected(session: AsyncSession, statement: Select[*tuple[Any, ...]]) -> int:
    """The number of rows that the planner expects; nothing is executed."""
    result = await session.run_sync(Session.execute, Explain(statement))
    found = result.scalar_one()
    plan = json.loads(found) if isinstance(found, str | bytes) else found
    return int(plan[0]["Plan"]["Plan Rows"])
