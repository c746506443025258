"""Connections of an engine in a test: all of them share one transaction, which is rolled back."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any, Self

from sqlalchemy import Connection, Engine, NestedTransaction, RootTransaction

from neonkit._seams.sqlalchemy import BorrowedPlace, connect_by
from neonkit.db._wire.returning_connection import ReturningConnection
from neonkit.errors import ConfigurationError

_MODES = {"isolation_level", "postgresql_deferrable", "postgresql_readonly"}
_NO_MODES = (
    "{names} cannot be chosen inside of a test's one transaction: mark the test `real_commits`, "
    "which gives it a database of its own"
)


class SandboxedConnection(Connection):
    """SQLAlchemy's connection whose transactions are savepoints of a shared one.

    Args:
        engine: the one that was asked for a connection.
        shared: a connection that is in a transaction, and stays open.

    Raises:
        ConfigurationError: the engine has options such as an isolation level.
    """

    def __init__(self, engine: Engine, shared: Connection) -> None:
        _refuse_modes(engine.get_execution_options())
        place: Any = BorrowedPlace(shared.connection)
        super().__init__(engine, place)
        self._shared = shared
        self._savepoint: NestedTransaction | None = None

    def execution_options(self, **options: Any) -> Self:
        """SQLAlchemy's own, without the modes of a transaction: that one began long ago.

        Raises:
            ConfigurationError: for an isolation level, and whatever else BEGIN says.
        """
        _refuse_modes(options)
        super().execution_options(**options)
        return self

    def _begin_impl(self, transaction: RootTransaction) -> None:  # noqa: ARG002  # SQLAlchemy's own
        self._savepoint = self._shared.begin_nested()

    def _commit_impl(self) -> None:
        if self._savepoint is not None:
            self._savepoint.commit()

    def _rollback_impl(self) -> None:
        if self._savepoint is not None:
            self._savepoint.rollback()


@contextmanager
def sharing(engine: Engine, shared: Connection) -> Iterator[None]:
    """Let an engine, and those with further options, lend one connection in the block."""
    connect_by(engine, partial(SandboxedConnection, shared=shared))
    try:
        yield
    finally:
        connect_by(engine, ReturningConnection)


def _refuse_modes(options: Mapping[str, Any]) -> None:
    names = sorted(_MODES & options.keys())
    if names:
        raise ConfigurationError(_NO_MODES.format(names=", ".join(names)))
