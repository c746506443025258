"""Connections that a session gives back after each plain read, and takes again when it goes on.

A handler that waits for another service between two reads holds none of the pool's connections
meanwhile. One that is lost is replaced, and its statement is sent again, where no transaction had
begun before it. SQLAlchemy's own `Connection` lasts as before: only its place in the pool comes and
goes.
"""

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, CursorResult, Executable
from sqlalchemy.orm import Session
from sqlalchemy.pool import Pool as AnyPool
from sqlalchemy.pool import PoolProxiedConnection
from sqlalchemy.util import await_

from neonkit.db._wire.connection import UnitOfWorkConnection
from neonkit.db._wire.listeners import has_strangers
from neonkit.db._wire.phases import Phase
from neonkit.db._wire.pool import OUR_LISTENERS
from neonkit.db._wire.retries import Retries

Renew = Callable[[UnitOfWorkConnection], None]


class _Attempt:
    """An attempt at a statement: the connection that it goes to, and what went before.

    Attributes:
        fairy: the pool's hold on it.
        was_in_the_open: whether all that its unit of work did before were plain reads.
        is_settled: whether its check had held before.
        budget: of its retries.
    """

    def __init__(self, fairy: PoolProxiedConnection) -> None:
        wire: object = fairy.dbapi_connection
        assert isinstance(wire, UnitOfWorkConnection), "of an engine of ours"  # noqa: S101
        self.fairy, self._wire = fairy, wire
        self.was_in_the_open = wire.phase is Phase.DEFERRED
        self.is_settled = wire.is_settled
        self.budget = wire.budget
        self._started = time.monotonic()

    @property
    def has_begun(self) -> bool:
        """True if a transaction began with it."""
        return self._wire.phase is Phase.OPEN

    def retries(self) -> Retries:
        """Begin to count its retries."""
        return Retries(self._wire, self._started)


class ReturningConnection(Connection):
    """SQLAlchemy's connection of an engine of `create_engine`.

    It keeps its place in the pool as ever, until a session says how to go on with another one
    (`renew_by`).
    """

    _renew: Renew | None = None
    _returns = False
    _executing = 0  # several tasks may use one session at once
    _is_returned = False
    _is_missing = False  # it was given back, and none could be taken since
    _is_held = False
    _is_ending = False
    _was_settled = False

    @property
    def is_returned(self) -> bool:
        """True if the pool has its connection for now; everything so far were plain reads."""
        return self._is_returned

    @property
    def invalidated(self) -> bool:
        """True if its connection was lost; one that was given back is not."""
        return (not self._is_returned or self._is_missing) and super().invalidated

    @property
    def connection(self) -> PoolProxiedConnection:
        """Its place in the pool, and with it the driver's own connection.

        Whoever asks for it may send what nobody sees here, so BEGIN goes out first where this
        connection is in a transaction: what the driver does belongs to that, and is undone with it.
        """
        fairy = super().connection
        wire = fairy.dbapi_connection
        is_asked_by_user = not self._is_ending and self.in_transaction()
        if is_asked_by_user and isinstance(wire, UnitOfWorkConnection):
            wire.hand_over()
        return fairy

    @property
    def info(self) -> dict[Any, Any]:
        """SQLAlchemy's own: nobody sends anything by it."""
        return super().connection.info

    def renew_by(self, renew: Renew) -> None:
        """Give the connection back after each plain read, and replace one that is lost.

        Both as long as all statements are plain reads. Listeners of the pool may count on one
        connection for a transaction: then it is only replaced.

        Args:
            renew: prepares a connection that is taken later, as the first one was.
        """
        self._renew = renew
        self._returns = not has_foreign_listeners(self.engine.pool)

    def keep(self) -> None:
        """Keep the connection from now on: somebody has taken it out of the session."""
        self._is_held = True

    @contextmanager
    def held(self) -> Iterator[None]:
        """Keep it for the block, whose statements belong together."""
        usual, self._is_held = self._is_held, True
        try:
            yield
        finally:
            self._is_held = usual
        self._return()

    def execute(
        self,
        statement: Executable,
        parameters: Any = None,  # noqa: ANN401  # SQLAlchemy's own
        *,
        execution_options: Mapping[str, Any] | None = None,
    ) -> CursorResult[Any]:
        """Execute a statement, all of whose rows are here when it returns.

        It is sent again after a fault, where nothing of its unit of work is lost by that: all that
        went before were plain reads, and it cannot have been committed.
        """
        if self._renew is None:
            return super().execute(statement, parameters, execution_options=execution_options)
        retries: Retries | None = None
        while True:
            attempt = _Attempt(super().connection)
            self._executing += 1
            try:
                result = super().execute(statement, parameters, execution_options=execution_options)
            except Exception as error:
                if not attempt.was_in_the_open:
                    raise
                retries = retries or attempt.retries()
                pause = retries.pause_after(error, has_begun=attempt.has_begun)
                if pause is None:
                    raise
            else:
                break
            finally:
                self._executing -= 1
            self._drop(attempt)
            await_(asyncio.sleep(pause))
        attempt.budget.earn()
        self._return()
        return result

    def scalar(
        self,
        statement: Executable,
        parameters: Any = None,  # noqa: ANN401  # SQLAlchemy's own
        *,
        execution_options: Mapping[str, Any] | None = None,
    ) -> Any:  # noqa: ANN401  # SQLAlchemy's own
        """The first value of the first row that a statement returns."""
        return self.execute(statement, parameters, execution_options=execution_options).scalar()

    def _return(self) -> None:
        fairy = self._dbapi_connection
        is_in_use = self._executing or self._is_held or self._nested_transaction
        if not self._returns or is_in_use or fairy is None:
            return
        wire = fairy.dbapi_connection
        if not isinstance(wire, UnitOfWorkConnection) or wire.phase is not Phase.DEFERRED:
            return
        self._was_settled = wire.is_settled
        self._dbapi_connection, self._is_returned = None, True
        fairy.close()

    def _revalidate_connection(self) -> PoolProxiedConnection:
        if self._renew is None or not self._is_returned:
            return super()._revalidate_connection()
        self._is_missing = True
        fairy = self.engine.raw_connection()
        self._is_missing = False
        taken = self._dbapi_connection
        if taken is not None:  # by another task, while this one waited for the pool
            fairy.close()
            return taken
        wire = fairy.dbapi_connection
        assert isinstance(wire, UnitOfWorkConnection), "of the same engine"  # noqa: S101
        self._dbapi_connection, self._is_returned = fairy, False
        self._renew(wire)
        wire.take_over(is_settled=self._was_settled)
        return fairy

    def _drop(self, attempt: "_Attempt") -> None:
        """Go on without the connection of an attempt that failed."""
        fairy, self._was_settled = self._dbapi_connection, attempt.is_settled
        if fairy is not None and fairy is not attempt.fairy:
            return  # another task has taken a new one meanwhile
        self._dbapi_connection, self._is_returned = None, True
        if fairy is not None:
            fairy.invalidate()

    def _commit_impl(self) -> None:
        if self._is_returned:
            return
        self._is_ending = True
        try:
            super()._commit_impl()
        finally:
            self._is_ending = False

    def _rollback_impl(self) -> None:
        self._is_ending = True
        try:
            super()._rollback_impl()
        finally:
            self._is_ending = False


def borrowed_connection(session: Session, **bind_arguments: object) -> Connection:
    """The connection of a session for a statement of ours, which leaves it as it is."""
    return Session.connection(
        session, bind_arguments=bind_arguments
    )  # never a subclass's, which keeps it


def held(connection: Connection) -> AbstractContextManager[None]:
    """Keep a connection for a block, whose statements belong together."""
    if isinstance(connection, ReturningConnection):
        return connection.held()
    return nullcontext()


def is_returned(connection: Connection) -> bool:
    """Tell if a connection is with its pool for now."""
    return isinstance(connection, ReturningConnection) and connection.is_returned


def has_foreign_listeners(pool: AnyPool) -> bool:
    """True if somebody may count on one connection for a transaction."""
    return any(has_strangers(pool, name, count) for name, count in OUR_LISTENERS.items())
