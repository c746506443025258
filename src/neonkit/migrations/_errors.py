"""Errors of migrations, each in one line."""

from collections.abc import Iterator
from contextlib import contextmanager

from alembic.util import CommandError
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from neonkit.db import FaultKind, fault_of
from neonkit.errors import MigrationError


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Turn what the database, Alembic or the network raises into one line that begins with `what`.

    Raises:
        MigrationError: in place of those.
    """
    try:
        yield
    except (SQLAlchemyError, CommandError, OSError, TimeoutError) as error:
        raise MigrationError(f"{what}: {reason_of(error)}") from error


def reason_of(error: Exception) -> str:
    """Say in one line what went wrong; what Python raises has its class's name."""
    if not isinstance(error, (SQLAlchemyError, CommandError, OSError, TimeoutError)):
        first, *_ = str(error).splitlines() or [""]
        return f"{type(error).__name__}: {first}".removesuffix(": ")
    fault = fault_of(error)
    if fault is not None and fault.kind is FaultKind.LOCK_TIMEOUT:
        return "a table stayed locked by another session; nothing of it was changed: run it again"
    cause = error.orig if isinstance(error, DBAPIError) and error.orig else error
    driver = cause.__cause__ or cause  # SQLAlchemy's adapter puts the class into the text
    first, *_ = str(driver).splitlines() or [""]
    return first or type(driver).__name__
