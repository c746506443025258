"""Totals: the number of rows that a list has in all, counted or estimated."""

from collections.abc import Mapping
from typing import Any, Literal

from sqlalchemy import (
    ColumnElement,
    Select,
    Table,
    cast,
    column,
    func,
    select,
    table,
)
from sqlalchemy.dialects import postgresql
from sqlmodel.ext.asyncio.session import AsyncSession

from neonkit.db import expected_rows

Total = Literal["none", "exact", "estimated"]

_preparer = postgresql.dialect().identifier_preparer  # type: ignore[no-untyped-call]  # SQLAlchemy's
_CLASSES = table("pg_class", column("oid"), column("reltuples"), schema="pg_catalog")


def total_column(
    statement: Select[*tuple[Any, ...]], total: Total, *, whole: Table | None
) -> ColumnElement[Any] | None:
    """The total as a column of the page's own statement; `None` where that cannot be.

    A scalar subselect is evaluated once, where a window would carry every row. The estimate is
    what the last ANALYZE or VACUUM wrote down of the table, and -1 where there was none.

    Args:
        statement: the whole list.
        total: the way to count that is asked for.
        whole: the table that it is all rows of, if it is.
    """
    if total == "exact":
        return select(func.count()).select_from(statement.subquery()).scalar_subquery()
    if total == "estimated" and whole is not None:
        name = cast(_preparer.format_table(whole), postgresql.REGCLASS)
        return select(_CLASSES.c.reltuples).where(_CLASSES.c.oid == name).scalar_subquery()
    return None


async def settle(
    session: AsyncSession,
    statement: Select[*tuple[Any, ...]],
    column: ColumnElement[Any] | None,
    told: float | None,
    values: Mapping[str, Any],
) -> int:
    """The total, where the page could not tell: it was empty, or nobody has analysed the table.

    Args:
        session: what to ask with, at most twice.
        statement: the whole list.
        column: from `total_column`.
        told: what the page's rows say of it; `None` where it has no rows.
        values: the parameters of the list.
    """
    if told is None and column is not None:
        told = await session.scalar(select(column), values)
    if told is None or told < 0:
        told = await session.run_sync(expected_rows, statement, values)
    return int(told)
