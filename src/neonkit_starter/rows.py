"""The one row that a statement is about."""

from typing import Any

from sqlalchemy import Result, Row

from neonkit.errors import NotFoundError


def existing(found: Result[Any]) -> Row[*tuple[Any, ...]]:
    """Give the row.

    Raises:
        NotFoundError: there is none (404).
    """
    row: Row[*tuple[Any, ...]] | None = found.one_or_none()
    if row is None:
        raise NotFoundError
    return row
